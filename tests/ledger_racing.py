"""One of several coordinators that grant at once: the program behind the race in ``programs/test_ledger_engines.py``.

``python ledger_racing.py WHERE NUMBER PERMITS`` opens the database that a world was made in, says ``ready``, waits for
a line, asks for so many permits at the same moment, and prints how each was answered.

Touches: sockets (a database), threads, stdin, stdout.
"""

import json
import sys
import threading
from collections import Counter
from pathlib import Path

from ledger_world import Ids, World
from mesh.coordinator.acts.permit import grant
from mesh.errors import MeshError


def main(where: str, number: int, permits: int) -> None:
    world = World(where if "://" in where else Path(where), line="strict", fresh=False)
    world.ids = Ids(1000 + number)
    wanted, moment = [world.wanted(world.bob) for _ in range(permits)], world.moment
    answers: list[str] = []

    def one(at: int) -> None:
        try:
            answers.append(type(world.database.write_and_wait(grant, wanted[at], moment)).__name__)
        except MeshError as error:
            answers.append(error.code)

    print("ready", flush=True)
    sys.stdin.readline()
    threads = [threading.Thread(target=one, args=(at,)) for at in range(permits)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    world.database.close()
    print(json.dumps(Counter(answers)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

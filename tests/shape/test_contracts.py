"""Who may import whom: the contracts of pyproject.toml hold."""

import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

from shape.sources import ROOT, names, sources


def test_the_import_contracts_hold() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_file_imports_itself_by_a_way_round() -> None:
    around = TopologicalSorter({one.name.removesuffix(".py").replace("/", "."): set(names(one)) for one in sources()})
    around.prepare()  # raises CycleError, which names the circle; imports for types alone count

"""What becomes of a request that a person's code decides, of either kind: it begins, is found by its code, and ends.

Touches: database (through the store it is given).
"""

from collections.abc import Callable
from typing import TypeVar

from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store.codes import Requests
from mesh.coordinator.store.connection import Store
from mesh.ids import DeviceKey
from mesh.networks import codes as rules
from mesh.networks.codes import Asked

A = TypeVar("A", bound=Asked)
KEPT_MS = 86_400_000
"""A request is kept for a day after its end, so that who comes late is told what became of it."""


def make_room(store: Store, requests: Requests[A], address: str | None, moment: Moment) -> None:
    """Forget what ended long ago, and refuse one more where too many wait."""
    requests.prune(store, before_ms=moment.now_ms - KEPT_MS)
    rules.may_wait(requests.waiting(store, now_ms=moment.now_ms), address, requests.kind.REFUSALS)


def new_handle(store: Store, requests: Requests[A], random: Callable[[], bytes], moment: Moment) -> str:
    """A first half of a code that nobody who waits has. ``random`` gives three bytes."""
    return rules.new_handle(random, lambda handle: requests.handle_taken(store, handle, now_ms=moment.now_ms))


def known(store: Store, requests: Requests[A], which: str, nonce: str) -> A:
    """A machine's own request: it alone knows the number that it had committed to. Refused as unknown."""
    found = requests.get(store, which)
    if found is None or rules.commitment(found.committed, nonce) != found.commitment:
        raise requests.kind.REFUSALS.unknown
    return found


def reveal(store: Store, requests: Requests[A], which: str, nonce: str) -> None:
    """A machine shows its number: from now on its code counts. Refused as unknown."""
    requests.reveal(store, known(store, requests, which, nonce).id, nonce)


def find(
    store: Store, requests: Requests[A], code: tuple[str, str], coordinator: tuple[DeviceKey, str], moment: Moment
) -> A | None:
    """The request that shows a code, whatever became of it; None where none does, which is counted for it.

    ``coordinator``: our key, and what proofs of this installation are bound to.
    """
    handle, check = code
    found = requests.by_handle(store, handle)
    if found is None or found.nonce is None:
        return None
    if found.expected(*coordinator) == check:  # not secret: whoever may ask has five tries
        return found
    if rules.ended(found, moment.now_ms) is None:
        counted = rules.wrongly_typed(found)
        requests.count_wrong(store, found.id, counted.wrong)
        if counted.outcome is not None:
            requests.end(store, found.id, counted.outcome)
    return None


def still_open(store: Store, requests: Requests[A], which: str, moment: Moment) -> A:
    """A request that can be confirmed. Refused as unknown, or with why it has ended."""
    found = requests.get(store, which)
    if found is None:
        raise requests.kind.REFUSALS.unknown
    ended = rules.ended(found, moment.now_ms)
    if ended is not None:
        raise ended
    return found


def refuse(store: Store, requests: Requests[A], which: str, moment: Moment) -> None:
    """A person says no: the machine is told. Refused as unknown, or with why it has ended."""
    requests.end(store, still_open(store, requests, which, moment).id, "refused")

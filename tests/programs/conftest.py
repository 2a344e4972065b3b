"""Two devices on iroh, for the tests of the binding's edges."""

from collections.abc import AsyncIterator

import iroh
import pytest

from mesh.transport.interface import Address
from transport_ends import SEED_A, SEED_B, Ends, connect, iroh_end


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    near, far = await iroh_end(SEED_A), await iroh_end(SEED_B)
    yield Ends(near, far, Address(far.key, tuple(far.addresses())))
    await near.close()
    await far.close()


@pytest.fixture
async def raw(ends: Ends) -> tuple[iroh.Connection, iroh.Connection]:
    """The binding's own two ends of a connection."""
    near, far = await connect(ends)
    return near._raw, far._raw  # type: ignore[attr-defined]

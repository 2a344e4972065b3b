"""What stands in for the engines, in tests and in benchmarks, can be asked all that engines are asked."""

import pytest

from agents import HeldEngines
from mesh.agent.engines.pool import Pool, Works
from waiting_devices import WaitingEngine


@pytest.mark.parametrize("made", [HeldEngines(), WaitingEngine(0.1)], ids=["held", "waiting"])
def test_stand_ins_have_all_that_engines_have(made: object) -> None:
    asked = {
        name for part in (Works, Pool) for name in (*vars(part), *part.__annotations__) if not name.startswith("_")
    }
    assert len(asked) >= 12
    assert [name for name in sorted(asked) if not hasattr(made, name)] == []

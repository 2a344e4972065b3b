"""This device's engines together with those that its owner shares: a job goes to whichever has its model.

Touches: nothing (both are arguments).
"""

from mesh.agent.engines.pool import Works
from mesh.agent.engines.sharing import Sharing
from mesh.agent.engines.upstream import UpstreamFailed
from mesh.workloads.contract import ANY_TURN, NOBODY, Listener, Payload, Turn


class SharedPool:
    """What a worker works with: own engines, and shared ones."""

    def __init__(self, own: Works, sharing: Sharing) -> None:
        self._own = own
        self._sharing = sharing

    async def run(
        self,
        workload: str,
        model: str,
        payload: Payload,
        *,
        limit_s: float,
        turn: Turn = ANY_TURN,
        listener: Listener = NOBODY,
    ) -> Payload:
        """Do a job; cancelling drops it: a shared engine sees its connection close."""
        if self._sharing.has(workload, model):
            if turn.group and not turn.first:  # such a program is not confined, and may keep what it is asked
                raise UpstreamFailed(
                    "A sensitive job of another person is not given to a shared engine.", reason="sensitive"
                )
            return await self._sharing.work(workload, model, payload, limit_s, listener.outlet)
        return await self._own.run(workload, model, payload, limit_s=limit_s, turn=turn, listener=listener)

    def expected_s(self, workload: str, model: str, units: int) -> float | None:
        """Seconds of work in so many units; None if unknown."""
        if self._sharing.has(workload, model):
            return self._sharing.expected_s(workload, model, units)
        return self._own.expected_s(workload, model, units)

    def warm(self) -> tuple[str, ...]:
        """The models that are loaded now; a shared engine's are its own business, and count as such."""
        return (*self._own.warm(), *(offer.model for offer in self._sharing.offers()))

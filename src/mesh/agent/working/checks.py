"""What a worker checks before it works: the signed Submit, and the permit that lets somebody else's job in.

The permit is the coordinator's word, the Submit the requester's; both must name this device, that peer, and this job.
Whoever shows one kind of paper as another, or an old, altered or foreign one, is declined with the reason.

Touches: nothing.
"""

from collections.abc import Callable
from typing import NamedTuple

from mesh.agent.membership import Membership
from mesh.agent.peers.shown import Shown
from mesh.errors import MeshError
from mesh.ids import DeviceId, PermitId
from mesh.protocol import frames, receipt, signed
from mesh.protocol.papers import Certificate
from mesh.protocol.permit import CLOCK_LEEWAY_S, Permit
from mesh.protocol.signed import BadToken

OWN_REPEAT_MS = 15 * 60 * 1000
"""For so long a repeat from one's own device is noticed: longer than any such job waits on the way."""
LEEWAY_MS = int(CLOCK_LEEWAY_S * 1000)


class PermitRefused(MeshError):
    """The permit does not allow this job here and now. A fresh one is asked for by itself; try again."""

    code = "permit.refused"
    kind = "forbidden"


class PermitMissing(MeshError):
    """Somebody else's device needs a permit. It is asked for by itself; try again."""

    code = "permit.missing"
    kind = "forbidden"


class ClockUnsure(MeshError):
    """This device has just woken, or has not heard the coordinator's time. It takes work again in a moment."""

    code = "worker.clock_unsure"
    kind = "unavailable"


class Checked(NamedTuple):
    """A Submit whose papers are in order. ``permit`` None: between devices of one owner, at price 0; else ``shown`` is
    how it was shown.
    """

    submit: receipt.Submit
    permit: Permit | None
    shown: Shown | None = None

    @property
    def until_ms(self) -> int:
        """Until when the same attempt must not be taken twice: no Submit of that permit counts after it."""
        if self.permit is None:
            return self.submit.time_ms + OWN_REPEAT_MS
        return self.permit.finish_by_ms + LEEWAY_MS


def check_submit(
    membership: Membership, asker: Certificate, frame: frames.Submit, earlier: Callable[[PermitId], Shown | None]
) -> Checked:
    """Check a Submit frame of an admitted peer. The permit came with it, or is one that was shown ``earlier``.

    Raises MeshErrors that say why.
    """
    submit = signed.verify(frame.signed, receipt.Submit, asker.key, membership.network)
    if (submit.requester, submit.worker) != (asker.device, membership.me):
        raise BadToken("A Submit names other devices than the two that speak.", reason="parties")
    if (submit.job, submit.attempt) != (frame.job, frame.attempt) or not receipt.in_range(submit, 0):
        raise BadToken("A Submit names another job than its frame.", reason="job")
    if asker.owner == membership.member:
        if submit.permit is not None or submit.maximum != 0:
            raise PermitRefused("Between devices of one owner nothing is paid and no permit counts.", reason="own")
        return Checked(submit, None)
    shown = None
    if submit.permit is not None:
        shown = earlier(submit.permit) if frame.permit is None else Shown(frame.permit)
    if shown is None:
        raise PermitMissing
    permit = check_permit(membership, asker, shown)
    if submit.permit != permit.permit:
        raise PermitRefused("The Submit names another permit than it brings.", reason="id")
    _check_fit(permit, frame, submit)
    _check_share(permit, membership.me, submit)
    return Checked(submit, permit, shown)


def check_permit(membership: Membership, asker: Certificate, shown: Shown) -> Permit:
    """Check the signature, parties and times of a permit. Raises BadToken, PermitRefused, ClockUnsure."""
    if not membership.clock.fresh:
        raise ClockUnsure
    now_ms = membership.clock.now_ms()
    permit = shown.permit(membership, now_ms)
    named = permit.requester_key  # another than shows itself here only where one followed the other today
    known = named == asker.key or membership.speaks_for(named, asker.device)
    if permit.requester != asker.device or not known:
        raise PermitRefused("The permit was given to another device.", reason="requester")
    own_keys = membership.keys_of(membership.me)
    mine = [one for one in permit.candidates if one.device == membership.me and one.key in own_keys]
    if not mine:
        raise PermitRefused("The permit does not name this device.", reason="candidate")
    if now_ms > permit.start_by_ms + LEEWAY_MS or now_ms > permit.finish_by_ms + LEEWAY_MS:
        raise PermitRefused("The permit has expired.", reason="expired")
    if now_ms < permit.issued_ms - LEEWAY_MS:
        raise PermitRefused("The permit is not valid yet.", reason="early")
    return permit


def _check_fit(permit: Permit, frame: frames.Submit, submit: receipt.Submit) -> None:
    spec = frame.spec
    if (spec.workload, spec.model, spec.sensitivity) != (permit.workload, permit.model, permit.sensitivity):
        raise PermitRefused("The permit is for other work than was sent.", reason="work")
    if permit.job is not None and permit.job != submit.job:
        raise PermitRefused("The permit is for another job.", reason="job")


def _check_share(permit: Permit, me: DeviceId, submit: receipt.Submit) -> None:
    cap = next(one.cap for one in permit.candidates if one.device == me)
    if not 0 <= submit.maximum <= min(cap, permit.maximum):
        raise PermitRefused("The Submit asks for more than the permit allows here.", reason="maximum")

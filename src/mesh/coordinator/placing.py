"""From a permit request to a permit: place on the snapshot, outside of any transaction; grant in one; then sign.

Where the requester's own device is best there is nothing to grant: it runs on the two certificates, at price 0.

Touches: database (writes the permit), clock and randomness (through ``parts``).
"""

import msgspec
import structlog

from mesh.coordinator.acts import permit as granting
from mesh.coordinator.acts.permit import EpochMoved, Granted, Wanted
from mesh.coordinator.live import LiveLinks
from mesh.coordinator.parts import Parts
from mesh.coordinator.snapshot import Seen
from mesh.credits.tariff import Rate, UnknownRate, rate
from mesh.credits.transfers import HoldRefused
from mesh.devices.addresses import home, tellable
from mesh.errors import MeshError
from mesh.ids import PermitId, is_ulid
from mesh.jobs.backlog import on_permit, waiting_s
from mesh.jobs.placement import CANDIDATES_ONE_JOB, FIRST_BYTE_FACTOR, Ask, NowhereToRun, Placement, Ranked, place
from mesh.jobs.series import CANDIDATES_SERIES, SERIES_JOBS_MAX, promised_s, share_of_series
from mesh.protocol import signed
from mesh.protocol.link import PermitRequest, Placed, Refused
from mesh.protocol.permit import START_WITHIN_S, Permit, Price
from mesh.protocol.values import Candidate, Explanation, Hint, JobSpec, Load

LIMIT_S_MAX = 24 * 3600.0
"""No job runs longer than a day; its hold would be out for as long."""
UNITS_MAX = 10**12
"""A terabyte of text: more is a mistake, and its cost would leave the range of money."""
NAME_LENGTH_MAX = 63
"""Workloads and models have short names."""
RETRY_AFTER_S = 5.0
"""When to ask again where nothing is known: the next beats will have come."""
_DRAW_BYTES = 8

log = structlog.get_logger()


class BadSpec(MeshError):
    """The job asks for something impossible: check units, limit and maximum cost."""

    code = "jobs.bad_spec"
    kind = "invalid"


class NotIn(MeshError):
    """This device waits for an admin's approval and runs no jobs yet. Ask an admin: `mesh device approve`."""

    code = "device.pending"
    kind = "forbidden"


class Placing:
    """Answers permit requests."""

    def __init__(self, parts: Parts, live: LiveLinks) -> None:
        self._parts = parts
        self._live = live

    async def answer(self, asker: Seen, request: PermitRequest) -> Placed | Refused:
        """A permit, the asker's own devices, or the reason why not."""
        try:
            self._check(asker, request)
            try:
                return await self._once(asker, request, available=None)
            except EpochMoved:
                return await self._once(asker, request, available=None)
            except HoldRefused as refused:
                # The balance is not in the snapshot: place again knowing it, so that the gate is named and free
                # devices are found.
                return await self._once(asker, request, available=int(refused.facts["free"] or 0))
        except MeshError as error:
            log.info("permit.refused", device=asker.kept.id, code=error.wire_code)
            return Refused(request.request, error.wire(), retry_after_s=RETRY_AFTER_S)

    def _check(self, asker: Seen, request: PermitRequest) -> None:
        spec = request.spec
        if asker.kept.standing != "active":
            raise NotIn
        if not is_ulid(request.request) or (request.job is not None and not is_ulid(request.job)):
            raise BadSpec("A permit request carries no proper ids. Update Mesh on the device.")
        if not 1 <= request.jobs <= SERIES_JOBS_MAX:
            raise BadSpec("A series is of 1 to 100,000 jobs.")
        if max(len(spec.workload), len(spec.model)) > NAME_LENGTH_MAX:
            raise BadSpec
        if not 0 <= spec.units <= UNITS_MAX or not 0 < spec.limit_s <= LIMIT_S_MAX or (spec.max_cost or 0) < 0:
            raise BadSpec

    async def _once(self, asker: Seen, request: PermitRequest, *, available: int | None) -> Placed | Refused:
        price = _price(request.spec)
        placement = self._place(asker, request, price, available)
        if not placement.ranked:
            nowhere = NowhereToRun().wire()
            return Refused(request.request, nowhere, placement.explanation, RETRY_AFTER_S)
        most = CANDIDATES_ONE_JOB if request.job is not None else CANDIDATES_SERIES
        if placement.ranked[0].facts.owner == asker.kept.owner:
            own = [entry for entry in placement.ranked if entry.facts.owner == asker.kept.owner][:most]
            self._promise(own, request)
            return Placed(request.request, None, self._hints(asker, own), placement.explanation)
        assert price is not None, "without a price only one's own devices are eligible"
        paid = [entry for entry in placement.ranked if entry.facts.owner != asker.kept.owner][:most]
        shares = _shares(request, paid, available)
        granted = await self._grant(asker, request, price, list(zip(paid, shares, strict=False)), placement.explanation)
        paid = paid[: len(shares)]
        if granted.fresh:
            self._promise(paid, request)
        else:
            named = {candidate.device for candidate in granted.permit.candidates}
            paid = [entry for entry in placement.ranked if entry.facts.device in named]
        token = signed.sign(granted.permit, self._parts.keys.seed)
        return Placed(request.request, token, self._hints(asker, paid), placement.explanation)

    def _place(self, asker: Seen, request: PermitRequest, price: Rate | None, available: int | None) -> Placement:
        snapshot, kept = self._parts.snapshot, asker.kept
        excluded = set(request.exclude)
        facts = [
            device
            for device in snapshot.facts(kept.network, self._parts.now_ms())
            if device.device not in excluded and (price is not None or device.owner == kept.owner)
        ]
        ask = Ask(
            spec=request.spec,
            member=kept.owner,
            role=snapshot.role(kept.network, kept.owner) or "guest",
            device=kept.id,
            cost=0 if price is None else price.cost(request.spec.units),
            available=available,
        )
        return place(ask, facts, draw=int.from_bytes(self._parts.random_bytes(_DRAW_BYTES)))

    async def _grant(
        self,
        asker: Seen,
        request: PermitRequest,
        price: Rate,
        paid: list[tuple[Ranked, int]],
        explanation: Explanation,
    ) -> Granted:
        parts, kept, spec = self._parts, asker.kept, request.spec
        moment, one = parts.moment(), request.job is not None
        start_by_ms = moment.now_ms + int(START_WITHIN_S * 1000)
        permit = Permit(
            network=kept.network,
            permit=PermitId(moment.new_id()),
            request=request.request,
            payer=parts.snapshot.payer(kept.network, kept.owner),
            requester=kept.id,
            requester_key=kept.key,
            role=parts.snapshot.role(kept.network, kept.owner) or "guest",
            workload=spec.workload,
            model=spec.model,
            sensitivity=spec.sensitivity,
            price=Price(price.version, price.micro, price.per),
            candidates=tuple(
                Candidate(entry.facts.device, entry.facts.key, entry.facts.owner, cap) for entry, cap in paid
            ),
            maximum=paid[0][1] if one else sum(cap for _, cap in paid),
            share="one" if one else "each",
            job=request.job,
            epoch=parts.snapshot.networks[kept.network].epoch,
            issued_ms=moment.now_ms,
            start_by_ms=start_by_ms,
            finish_by_ms=start_by_ms + int(spec.limit_s * 1000),
        )
        body = msgspec.json.encode(explanation).decode()
        return await parts.database.write(granting.grant, Wanted(permit, spec, kept.owner, body), moment)

    def _promise(self, ranked: list[Ranked], request: PermitRequest) -> None:
        """The first candidate's backlog grows at once, of a series everyone's; the next beat replaces the promise."""
        promised = [(ranked[0], ranked[0].service_s)]
        if request.job is None:
            each = promised_s(request.jobs, [entry.service_s for entry in ranked])
            promised = [(entry, each) for entry in ranked]
        for entry, service_s in promised:
            seen = self._parts.snapshot.device(entry.facts.device)
            if seen is not None:
                seen.backlog = on_permit(seen.backlog, service_s, self._parts.now_ms())

    def _hints(self, asker: Seen, ranked: list[Ranked]) -> tuple[Hint, ...]:
        return tuple(self._hint(asker, entry) for entry in ranked)

    def _hint(self, asker: Seen, entry: Ranked) -> Hint:
        device, now_ms = entry.facts.device, self._parts.now_ms()
        seen = self._parts.snapshot.device(device)
        load = entry.facts.condition.load
        if seen is None:
            return Hint(device, entry.service_s, entry.service_s * FIRST_BYTE_FACTOR, load)
        return Hint(
            device,
            service_s=entry.service_s,
            first_byte_s=entry.service_s * FIRST_BYTE_FACTOR,
            load=Load(load.sequence, load.depth, waiting_s(seen.backlog, now_ms)),
            addresses=tellable(seen.addresses, seen.attested, self._home(seen), self._home(asker)),
            relay=seen.relay,
        )

    def _home(self, seen: Seen) -> str | None:
        link = self._live.of(seen.kept.id)
        return home(seen.attested, None if link is None else link.seen_from)


def _shares(request: PermitRequest, paid: list[Ranked], available: int | None) -> tuple[int, ...]:
    """What may be earned at each candidate: of one job its maximum everywhere, of a series a cap each."""
    job = paid[0].cost
    if request.job is not None:
        return (job,) * len(paid)
    shares = share_of_series(job * request.jobs, [entry.service_s for entry in paid], job=job, free=available)
    if not shares:
        raise HoldRefused(needed=job, free=available)
    return shares


def _price(spec: JobSpec) -> Rate | None:
    """The network's price of a workload; None where it has none, and only one's own devices can do it."""
    try:
        return rate(spec.workload)
    except UnknownRate:
        return None

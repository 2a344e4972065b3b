"""From a permit request to a permit: choose on the snapshot, outside of any transaction; grant in one; then sign.

Where the requester's own device is best there is nothing to grant: it runs on the two certificates, at price 0.

Touches: database (writes the permit), clock and randomness (through ``parts``).
"""

from contextlib import suppress
from typing import NamedTuple

import msgspec
import structlog

from mesh.coordinator.acts import permit as granting
from mesh.coordinator.acts.limits import Apart, note_limit
from mesh.coordinator.acts.permit import EpochMoved, Granted, Wanted
from mesh.coordinator.parts import Parts
from mesh.coordinator.placing import choosing
from mesh.coordinator.placing.choosing import choose
from mesh.coordinator.snapshot import Seen
from mesh.coordinator.telling.live import LiveLinks
from mesh.credits.limits import DayLimitReached
from mesh.credits.tariff import Rate
from mesh.credits.transfers import HoldRefused
from mesh.devices.addresses import home, tellable
from mesh.errors import MeshError
from mesh.ids import MemberId, PermitId, is_ulid
from mesh.jobs import loading
from mesh.jobs.backlog import on_permit, waiting_s
from mesh.jobs.placement import CANDIDATES_ONE_JOB, FIRST_BYTE_FACTOR, Ranked
from mesh.jobs.series import CANDIDATES_SERIES, SERIES_JOBS_MAX, promised_s, share_of_series
from mesh.jobs.spec import BadSpec, check_spec
from mesh.protocol import signed
from mesh.protocol.link import Estimated, EstimateRequest, PermitRequest, Placed, Refused
from mesh.protocol.permit import START_WITHIN_S, Permit, Price
from mesh.protocol.values import PATHS_MAX, Candidate, Explanation, Hint, Load
from mesh.units import MICRO_LIMIT

TRIES = 4
"""How often one request is placed anew for what was not known: an epoch, a balance, owners that are kept apart."""
RETRY_AFTER_S = 5.0
"""When to ask again where nothing is known: the next beats will have come."""

log = structlog.get_logger()


class TooDear(MeshError):
    """This job would cost more than can be counted exactly (2^53 micro-credits). Ask for it in parts."""

    code = "permit.too_dear"
    kind = "invalid"


class NotIn(MeshError):
    """This device waits for an admin's approval and runs no jobs yet. Ask an admin: `mesh device approve`."""

    code = "device.pending"
    kind = "forbidden"


class _Basis(NamedTuple):
    """By what a job was placed: the price, the epoch that it is of, and why where."""

    price: Rate
    epoch: int
    explanation: Explanation


class Placing:
    """Answers permit requests."""

    def __init__(self, parts: Parts, live: LiveLinks) -> None:
        self._parts = parts
        self._live = live

    async def answer(self, asker: Seen, request: PermitRequest) -> Placed | Refused:
        """A permit, the asker's own devices, or the reason why not."""
        try:
            self._check(asker, request)
            self._note_paths(asker, request)
            apart: frozenset[MemberId] = frozenset()
            available: int | None = None
            for _ in range(TRIES):
                # Neither the balance nor denied work is in the snapshot: place again knowing it, so that the gate is
                # named and other devices are found.
                try:
                    return await self._once(asker, request, available, apart)
                except EpochMoved:
                    continue
                except HoldRefused as refused:
                    if isinstance(refused, DayLimitReached):
                        await self._note_limit(asker)
                    if available is not None:
                        raise
                    available = int(refused.facts["free"] or 0)
                except Apart as kept:
                    apart |= {MemberId(str(kept.facts["owner"]))}
            return await self._once(asker, request, available, apart)
        except MeshError as error:
            log.info("permit.refused", device=asker.kept.id, code=error.wire_code)
            return Refused(request.request, error.wire(), retry_after_s=RETRY_AFTER_S)

    async def _note_limit(self, asker: Seen) -> None:
        kept = asker.kept
        with suppress(MeshError):  # the device is answered in any case
            await self._parts.database.write(note_limit, kept.network, kept.id, self._parts.moment())

    def _note_paths(self, asker: Seen, request: PermitRequest | EstimateRequest) -> None:
        self._parts.snapshot.note_round_trips(asker, request.paths[:PATHS_MAX], self._parts.now_ms())

    def _check(self, asker: Seen, request: PermitRequest) -> None:
        if asker.kept.standing != "active":
            raise NotIn
        if not is_ulid(request.request) or (request.job is not None and not is_ulid(request.job)):
            raise BadSpec("A permit request carries no proper ids. Update Mesh on the device.")
        if not 1 <= request.jobs <= SERIES_JOBS_MAX:
            raise BadSpec("A series is of 1 to 100,000 jobs.")
        check_spec(request.spec)

    async def estimate(self, asker: Seen, request: EstimateRequest) -> Estimated:
        """What a job would cost and who would do it, if it were asked for now."""
        try:
            if asker.kept.standing != "active":
                raise NotIn
            check_spec(request.spec)
            self._note_paths(asker, request)
            free = await self._parts.database.read(
                granting.free_credit,
                asker.kept.network,
                self._parts.snapshot.payer(asker.kept.network, asker.kept.owner),
            )
            price = self._parts.snapshot.networks[asker.kept.network].tariff.rate(request.spec.workload)
            wanted = choosing.Wanted(request.request, request.spec, price, (), request.paths, free)
            placement = await choose(self._parts, asker, wanted)
        except MeshError as error:
            return Estimated(request.request, error=error.wire())
        if not placement.ranked:
            return Estimated(request.request, explanation=placement.explanation, error=placement.nowhere().wire())
        first = placement.ranked[0]
        version = price.version if price is not None and first.cost else 0
        where = (first.facts.device, first.cost, first.expected_s, placement.explanation)
        return Estimated(request.request, *where, tariff=version)

    async def _once(
        self, asker: Seen, request: PermitRequest, available: int | None, apart: frozenset[MemberId]
    ) -> Placed | Refused:
        # Its epoch goes into the permit: where the prices change while this is placed, the act says so.
        network = self._parts.snapshot.networks[asker.kept.network]
        price = network.tariff.rate(request.spec.workload)
        wanted = choosing.Wanted(request.request, request.spec, price, request.exclude, request.paths, available, apart)
        placement = await choose(self._parts, asker, wanted)
        if not placement.ranked:
            retry_s = RETRY_AFTER_S if placement.coming is None else loading.retry_s(placement.coming[1])
            return Refused(request.request, placement.nowhere().wire(), placement.explanation, retry_s)
        most = CANDIDATES_ONE_JOB if request.job is not None else CANDIDATES_SERIES
        if placement.ranked[0].facts.owner == asker.kept.owner:
            own = [entry for entry in placement.ranked if entry.facts.owner == asker.kept.owner][:most]
            self._promise(own, request)
            return Placed(request.request, None, self._hints(asker, own), placement.explanation)
        assert price is not None, "without a price only one's own devices are eligible"
        paid = [entry for entry in placement.ranked if entry.facts.owner != asker.kept.owner][:most]
        shares = _shares(request, paid, available)
        basis = _Basis(price, network.epoch, placement.explanation)
        granted = await self._grant(asker, request, basis, list(zip(paid, shares, strict=False)))
        paid = paid[: len(shares)]
        if granted.fresh:
            self._promise(paid, request)
        else:
            named = {candidate.device for candidate in granted.permit.candidates}
            paid = [entry for entry in placement.ranked if entry.facts.device in named]
        token = signed.sign(granted.permit, self._parts.keys.seed)
        return Placed(request.request, token, self._hints(asker, paid), placement.explanation)

    async def _grant(
        self,
        asker: Seen,
        request: PermitRequest,
        basis: _Basis,
        paid: list[tuple[Ranked, int]],
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
            price=Price(*basis.price),
            candidates=tuple(
                Candidate(entry.facts.device, entry.facts.key, entry.facts.owner, cap) for entry, cap in paid
            ),
            maximum=paid[0][1] if one else sum(cap for _, cap in paid),
            share="one" if one else "each",
            job=request.job,
            epoch=basis.epoch,
            issued_ms=moment.now_ms,
            start_by_ms=start_by_ms,
            finish_by_ms=start_by_ms + int(spec.limit_s * 1000),
        )
        body = msgspec.json.encode(basis.explanation).decode()
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
    if job > MICRO_LIMIT:
        raise TooDear(cost=str(job))
    if request.job is not None:
        return (job,) * len(paid)
    # Of a short balance one kind of job takes half: others need some, and a job of its own permit too.
    free = MICRO_LIMIT if available is None else available // 2
    shares = share_of_series(job * request.jobs, [entry.service_s for entry in paid], job=job, free=free)
    if not shares:
        raise HoldRefused(needed=job, free=available)
    return shares

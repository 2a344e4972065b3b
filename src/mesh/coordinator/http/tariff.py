"""A network's tariff: read it and its versions, see what a change would mean, publish the next version.

Touches: database (through the desk).
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StrictInt

from mesh.coordinator.acts import tariff as acts
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.tariff import Draft
from mesh.coordinator.http.access import caller_of, needs
from mesh.coordinator.http.desk import answer, desk_of
from mesh.coordinator.http.paging import PAGE_MAX, Cursor, Limit, page
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.networks import Network
from mesh.coordinator.store.tariffs import Version
from mesh.credits.repricing import VERSION_MAX, WORKLOADS_MAX, Asked, BadPrice, Change
from mesh.credits.tariff import Tariff
from mesh.ids import NetworkId
from mesh.sdk import tariffs as answers
from mesh.sdk.prices import Price

router = APIRouter()


class PriceBody(BaseModel):
    """A price: so many micro-credits for so many units (left out: for as many as now, else for one)."""

    model_config = ConfigDict(extra="forbid")
    workload: str
    price_micro: StrictInt
    price_per: StrictInt | None = None


class ChangeBody(BaseModel):
    """What is to change: prices by workload, the fee in parts per million. What is not named stays."""

    model_config = ConfigDict(extra="forbid")
    prices: list[PriceBody] = Field(default_factory=list, max_length=WORKLOADS_MAX)
    fee_ppm: StrictInt | None = None

    def change(self) -> Change:
        """As the rules take it. Raises BadPrice."""
        asked = {one.workload: Asked(one.price_micro, one.price_per) for one in self.prices}
        if len(asked) < len(self.prices):
            raise BadPrice("Two prices are for one workload. Say one for each.", reason="twice")
        return Change(asked, self.fee_ppm)


class TariffBody(ChangeBody):
    """A change to be published: over which version, and why."""

    base_version: StrictInt = Field(ge=0, le=VERSION_MAX)
    note: str = ""


@router.get("/v1/networks/{network}/tariff", dependencies=[needs("network.read")])
async def read(
    network: str, request: Request, version: Annotated[int | None, Query(ge=0, le=VERSION_MAX)] = None
) -> Response:
    """The prices in force, or an earlier version of them."""
    desk, meant = desk_of(request), NetworkId(network)
    found = await desk.parts.database.read(acts.version, meant, version)
    return answer(_shown(found, desk.parts.snapshot.networks[meant].tariff.version))


@router.get("/v1/networks/{network}/tariff/versions", dependencies=[needs("network.read")])
async def versions(network: str, request: Request, limit: Limit = PAGE_MAX, cursor: Cursor = None) -> Response:
    """Its versions, newest first, down to the one that every network starts with."""
    found = await desk_of(request).parts.database.read(acts.versions, NetworkId(network))
    lines = [_shown(one, found[0].tariff.version) for one in found]
    return answer(answers.TariffVersions(*page(lines, lambda one: str(one.version), limit=limit, cursor=cursor)))


@router.put("/v1/networks/{network}/tariff", dependencies=[needs("network.change")])
async def publish(network: str, body: TariffBody, request: Request) -> Response:
    """Publish the next version: refused when somebody published another one meanwhile. Permits keep their price."""
    desk, caller, meant = desk_of(request), caller_of(request), NetworkId(network)
    draft = Draft(body.change(), body.base_version, body.note)

    def act(store: Store, moment: Moment) -> tuple[answers.TariffPublished, Network]:
        published = acts.publish(store, meant, draft, by=caller.member, moment=moment)
        return answers.TariffPublished(published.tariff.version), published

    response, published = await desk.act(request, act)
    if published is not None:
        await desk.news.network_changed(published)
    return response


@router.post("/v1/networks/{network}/tariff/try", dependencies=[needs("network.change")])
async def try_out(network: str, body: ChangeBody, request: Request) -> Response:
    """What a change would mean for the jobs of the last 30 days; nothing is published."""
    parts = desk_of(request).parts
    found = await parts.database.read(acts.tried, NetworkId(network), body.change(), parts.now_ms())
    return answer(
        answers.TariffTried(
            found.before.version,
            _prices(found.after),
            found.after.fee_ppm,
            found.before.fee_ppm,
            found.since_ms,
            tuple(answers.TariffEffect(*one) for one in found.effects),
            found.more,
        )
    )


def _shown(found: Version, current: int) -> answers.TariffVersion:
    tariff = found.tariff
    about = (found.since_ms, found.note, found.by, found.name)
    return answers.TariffVersion(
        tariff.version, _prices(tariff), tariff.fee_ppm, *about, current=tariff.version == current
    )


def _prices(tariff: Tariff) -> tuple[Price, ...]:
    return tuple(Price(name, *price) for name, price in sorted(tariff.priced.items()))

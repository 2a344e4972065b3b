"""Numbers that no database has room for are refused in words wherever a number can be said, and are no breakdown."""

import pytest

from coordinators import a_coordinator, an_id
from engines import ENGINES

pytestmark = pytest.mark.anyio
HUGE = (2**31, 2**63, 2**70, -1, -(2**63) - 1, -(2**70))


def said(network, member, device, number):
    """Every request in which somebody can say a whole number."""
    place = f"/v1/networks/{network}"
    job = {"requester": device, "job": an_id(), "attempt": number}
    query = [
        *(f"{place}/ledger?{name}={number}" for name in ("since_ms", "until_ms", "limit")),
        *(f"{place}/ledger/chart?{name}={number}" for name in ("since_ms", "until_ms")),
        *(f"{place}/ledger/export?{name}={number}" for name in ("since_ms", "until_ms")),
        f"{place}/ledger/verify?number={number}",
        f"{place}/policy?version={number}",
        f"{place}/tariff?version={number}",
        f"{place}/picture?seconds={number}",
        f"{place}/jobs?limit={number}",
        f"{place}/jobs?cursor={number}.{an_id()}",
        f"{place}/decisions?before={number}",
        f"{place}/devices?limit={number}",
    ]
    yield from (("GET", path, None) for path in query)
    yield "PUT", f"{place}/policy", {"text": "grants: []\n", "base_version": number}
    yield "PUT", f"{place}/settings", {"permits_per_member": number}
    price = {"workload": "chat", "price_micro": number, "price_per": number}
    yield "PUT", f"{place}/tariff", {"prices": [price], "fee_ppm": number, "base_version": number}
    yield "POST", f"{place}/tariff/try", {"prices": [price]}
    yield "POST", f"{place}/tariff/try", {"fee_ppm": number}
    yield "PUT", f"{place}/members/{member}/credit", {"floor": number, "day_limit": number}
    yield "PUT", f"{place}/devices/{device}/credit", {"day_limit": number}
    yield "POST", f"{place}/credits", {"member": member, "amount": number, "reason": "a test"}
    yield "POST", f"{place}/owed/settle", job
    yield "POST", f"{place}/tokens", {"purpose": "device", "uses": number}
    yield "POST", f"{place}/keys", {"name": "k", "scopes": ["read"], "expires_s": number}


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_number_without_room_is_refused_in_words(engine, request, tmp_path):
    place = request.getfixturevalue(engine)(tmp_path)
    async with a_coordinator(tmp_path, where=place.where) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        device = await bench.device(network, ann, "lumen")
        for number in HUGE:
            for method, path, body in said(network, ann.member, device.id, number):
                answer = await bench.http.request(method, path, json=body, headers=ann.headers)
                assert answer.status_code < 500, (method, path, answer.text)
                if answer.is_error:
                    assert answer.json()["error"]["code"], (method, path)

"""The API against its own description: requests made from it, good and bad; every answer has the promised form."""

import contextlib
import itertools

import httpx2
import pytest
import schemathesis
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.generation.modes import GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from coordinators import a_coordinator, an_id
from mesh.coordinator.http import app, openapi
from mesh.protocol import link

DESCRIPTION = openapi.document(app.api(None))  # type: ignore[arg-type]
SCHEMA = schemathesis.openapi.from_dict(DESCRIPTION)
OPERATIONS = sorted((found.ok() for found in SCHEMA.get_all_operations()), key=lambda one: one.method == "delete")
EXAMPLES = 6
"""Requests for each operation and kind: the whole stays under half a minute."""
NUMBERS = itertools.count()
CHECKS = [content_type_conformance, response_schema_conformance]


class Town:
    """A coordinator in a thread, with an admin, somebody else, a device that works, and objects of every kind."""

    def __init__(self, portal, folder):
        self.portal = portal
        self._coordinator = portal.wrap_async_context_manager(a_coordinator(folder))

    def __enter__(self):
        self.bench = self._coordinator.__enter__()
        self.portal.call(self._fill)
        return self

    def __exit__(self, *error):
        return self._coordinator.__exit__(*error)

    async def _fill(self):
        bench = self.bench
        self.admin = await bench.claim()
        network = await bench.network(self.admin)
        bob = await bench.sign_in(await bench.invite(network, self.admin, "member"), "Bob")
        device = await bench.device(network, bob, "lumen")
        wire = await bench.linked(device)
        job = an_id()
        wire.say(link.Started(job, 1, device.id, "embeddings", "minilm", "private", 300))
        await bench.beat(wire)
        token = await bench.post(f"/v1/networks/{network}/tokens", {"purpose": "device"}, self.admin)
        key = await bench.post(f"/v1/networks/{network}/keys", {"name": "k", "scopes": ["read"]}, self.admin)
        gift = {"member": bob.member, "amount": 5, "reason": "=1+1"}
        assert (await bench.post(f"/v1/networks/{network}/credits", gift, self.admin)).status_code == 200
        self.leaving = await bench.sign_in(await bench.invite(network, self.admin, "member"), "Eve")
        self.ids = {
            "network": network,
            "device": device.id,
            "member": bob.member,
            "job": job,
            "token": token.json()["token_id"],
            "key": key.json()["key_id"],
        }

    def ask(self, case, known: bool) -> httpx2.Response:
        """The answer to a generated request; ``known``: about what there is."""
        for name in case.path_parameters or {}:
            if name == "network" or known:
                case.path_parameters[name] = self.ids.get(name, case.path_parameters[name])
        if known and isinstance(case.body, dict):
            case.body.update({name: self.ids[name] for name in case.body if name in self.ids})
        sent = case.as_transport_kwargs(base_url="http://mesh.test")
        person = self.leaving if case.operation.path == "/v1/page/sign-out" else self.admin
        generated = {name.lower(): value for name, value in dict(sent.get("headers") or {}).items()}
        generated.pop("cookie", None)
        request = self.bench.http.build_request(
            sent["method"], sent["url"], params=sent.get("params"), headers={**generated, **person.headers},
            json=sent.get("json"), content=sent.get("data"),
        )  # fmt: skip
        return self.portal.call(self.bench.http.send, request)


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    with start_blocking_portal() as portal, Town(portal, tmp_path_factory.mktemp("town")) as town:
        yield town


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["fitting", "unfitting"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_what_comes_in_gets_an_answer_of_the_form_that_was_promised(operation, mode, town):
    @seed(1)
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
    def tried(case, known):
        key = {"Idempotency-Key": f"{next(NUMBERS)}"} if operation.method != "get" else {}
        if mode is GenerationMode.POSITIVE:
            case.headers = {**dict(case.headers or {}), **key}
        answer = town.ask(case, known)
        acts = operation.method != "get" and operation.path.startswith("/v1/networks")
        if acts and answer.status_code == 200 and mode is GenerationMode.POSITIVE:
            again = town.ask(case, known)
            assert (again.status_code, again.content) == (200, answer.content), "done twice"
        assert answer.status_code != 500, answer.text
        if answer.status_code != 503:  # no pages were built, or the device's link ended: a refusal, said in JSON
            case.validate_response(answer, checks=CHECKS)

    with contextlib.suppress(Unsatisfiable):  # an address that takes nothing has nothing that could not fit
        tried()


WHOLE = {
    "/v1/networks/{network}/balances": "they sum to zero only together",
    "/v1/networks/{network}/marks": "the newest hundred, until they are cleared",
    "/v1/networks/{network}/picture": "a picture of everything",
    "/v1/networks/{network}/tariff": "the prices of one version, 64 at most",
    "/v1/networks/{network}/policy/why": "one line for each device",
    "/v1/networks/{network}/jobs/{job}": "a job has a handful of attempts",
    "/v1/networks/{network}/jobs/{job}/why": "one line for each device",
    "/v1/networks/{network}/ledger/chart": "a hundred who moved most",
    "/v1/networks/{network}/ledger/verify": "the first problem alone",
    "/v1/about": "how a key followed another, all of it",
    "/v1/me/deletion": "a line for each table that there is, and the networks of one person",
    "/v1/me": "the networks that the page's switch shows",
    "/v1/networks/{network}/review": "what waits for an admin's answer",
    "/v1/networks/{network}/review/{item}": "one question with its checks",
    "/v1/ways": "what the operator set up",
    "/v1/ways-in": "a person has a handful",
}
"""Lists that come whole, and why."""


def test_every_list_comes_in_pages_or_says_here_why_not(town):
    schemas = DESCRIPTION["components"]["schemas"]
    for path, operations in DESCRIPTION["paths"].items():
        if "get" not in operations or path in WHOLE:
            continue
        said = operations["get"]["responses"]["200"]["content"].get("application/json", {}).get("schema")
        if said is None:
            continue
        fields = schemas[said["$ref"].rpartition("/")[2]]["properties"]
        lists = [name for name, kind in fields.items() if kind.get("type") == "array"]
        if not lists:
            continue
        cursor = "before" if "before" in fields else "cursor"
        assert {"limit", cursor} <= {one["name"] for one in operations["get"].get("parameters", ())}, path
        address = path.replace("{network}", town.ids["network"])
        whole = town.portal.call(town.bench.get, address, town.admin).json()[lists[0]]
        found, at = [], ""
        while len(found) <= len(whole):
            page = town.portal.call(town.bench.get, f"{address}?limit=1{at}", town.admin).json()
            found += page[lists[0]]
            if page[cursor] is None:
                break
            at = f"&{cursor}={page[cursor]}"
        assert found == whole, path


def test_a_cursor_of_nothing_is_refused(town):
    refused = town.portal.call(town.bench.get, f"/v1/networks/{town.ids['network']}/devices?cursor=x", town.admin)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "request.bad_cursor")

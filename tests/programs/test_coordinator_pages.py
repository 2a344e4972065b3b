"""Signing a browser in: cookies, what acts by them, what a link tells, the picture and who may see what in it."""

import asyncio
import json

import pytest

from coordinators import a_coordinator, an_id
from mesh.coordinator.config import Site
from mesh.pages.files import Files
from mesh.protocol import link
from mesh.protocol.values import Condition, Load

pytestmark = pytest.mark.anyio
ORIGIN = {"origin": "http://mesh.test", "x-mesh-page": "1"}


async def signed_in(bench, name="Ann"):
    """A browser that used the claim link; returns its cookie header."""
    assert bench.claim_link is not None
    body = {"secret": bench.claim_link.secret, "name": name}
    answer = await bench.post("/v1/page/sign-in", body, **ORIGIN)
    assert answer.status_code == 200, answer.text
    cookie = answer.headers["set-cookie"]
    assert answer.json()["token"] == "", "the token is in the cookie and nowhere a script could read it"
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Lax", "Path=/", "mesh=mesh_"))
    return {"cookie": cookie.partition(";")[0]}


async def test_a_cookie_reads_everywhere_and_acts_only_from_the_page_itself(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        bench.http.cookies.clear()
        cookie = await signed_in(bench)
        bench.http.cookies.clear()
        me = await bench.http.get("/v1/me", headers=cookie)
        assert (me.json()["name"], me.json()["operator"]) == ("Ann", True)
        for headers in (
            {},
            {"x-mesh-page": "1"},
            {"origin": "http://mesh.test"},
            {"origin": "http://evil.test", "x-mesh-page": "1"},
            {"origin": "null", "x-mesh-page": "1"},
            {"origin": "http://mesh.test.evil.test", "x-mesh-page": "1"},
        ):
            refused = await bench.http.post("/v1/networks", json={"name": "home"}, headers={**cookie, **headers})
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "auth.not_from_page"), headers
        assert (await bench.http.get("/v1/me", headers=cookie)).json()["networks"] == []
        made = await bench.http.post("/v1/networks", json={"name": "home"}, headers={**cookie, **ORIGIN})
        assert made.status_code == 200
        out = await bench.http.post("/v1/page/sign-out", json={}, headers={**cookie, **ORIGIN})
        assert "Max-Age=0" in out.headers["set-cookie"]
        assert (await bench.http.get("/v1/me", headers=cookie)).status_code == 401


async def test_over_https_no_cookie_counts_that_a_neighbour_on_plain_http_could_plant_and_no_page_of_theirs(tmp_path):
    async with a_coordinator(tmp_path, site=Site("https://mesh.test", None)) as bench:
        bench.http.cookies.clear()
        body, own = (
            {"secret": bench.claim_link.secret, "name": "Ann"},
            {"origin": "https://mesh.test", "x-mesh-page": "1"},
        )
        assert (await bench.post("/v1/page/sign-in", body, **ORIGIN)).status_code == 403, "over plain http"
        signed = await bench.post("/v1/page/sign-in", body, **own)
        said, *more = signed.headers["set-cookie"].split("; ")
        assert said.startswith("__Host-mesh=mesh_") and {"Secure", "HttpOnly", "Path=/"} <= set(more)
        bench.http.cookies.clear()
        token = said.partition("=")[2]
        cookie, planted = {"cookie": said}, {"cookie": f"mesh={token}"}
        assert (await bench.http.get("/v1/me", headers=cookie)).json()["name"] == "Ann"
        assert (await bench.http.get("/v1/me", headers=planted)).status_code == 401
        for headers, status in (({**cookie, **ORIGIN}, 403), ({**planted, **own}, 401), ({**cookie, **own}, 200)):
            made = await bench.http.post("/v1/networks", json={"name": "home"}, headers=headers)
            assert made.status_code == status, headers
        network = made.json()["network"]
        for headers in ({**planted, **own}, {**cookie, **ORIGIN}):
            assert (await Looking(bench, network, headers).next())["type"] == "websocket.close", headers
        looking = Looking(bench, network, {**cookie, **own})
        assert (await looking.next())["type"] == "websocket.accept"
        looking.said.put_nowait({"type": "websocket.disconnect"})


async def test_signing_in_needs_the_page_and_a_link_that_works(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        body = {"secret": bench.claim_link.secret, "name": "Ann"}
        assert (await bench.post("/v1/page/sign-in", body)).status_code == 403
        assert (await bench.post("/v1/page/sign-in", body, origin="http://evil.test")).status_code == 403
        wrong = await bench.post("/v1/page/sign-in", {**body, "secret": "x" * 43}, **ORIGIN)
        assert wrong.is_error and "set-cookie" not in wrong.headers
        await signed_in(bench)
        again = await bench.post("/v1/page/sign-in", body, **ORIGIN)
        assert again.json()["error"]["code"] == "installation.claimed"


async def test_a_link_says_what_it_is_for_and_looking_uses_nothing_up(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        invite = await bench.invite(network, ann, "member", role="guest", name="Ben")
        for _ in range(3):
            seen = (await bench.post("/v1/links/look", {"secret": invite.secret})).json()
            assert (seen["purpose"], seen["role"], seen["maker"]) == ("member", "guest", "Ann")
            assert (seen["network"], seen["name"]) == ("home", "Ben")
        assert (await bench.post("/v1/links/look", {"secret": "y" * 43})).is_error
        await bench.sign_in(invite, "Ben")
        used = await bench.post("/v1/links/look", {"secret": invite.secret})
        assert used.is_error, "a link that is used up says so"


async def test_the_picture_shows_ones_own_jobs_in_full_and_of_others_only_that_a_device_works(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        ben = await bench.sign_in(await bench.invite(network, ann, "member", role="member"), "Ben")
        cat = await bench.sign_in(await bench.invite(network, ann, "member", role="member"), "Cat")
        lumen, studio = await bench.device(network, ben, "lumen"), await bench.device(network, ann, "studio")
        wire = await bench.linked(studio, Condition(load=Load(1, 1, 2.0), battery=0.5))
        job = an_id()
        wire.say(link.Started(job, 1, lumen.id, "embeddings", "minilm", "private", 300))
        await bench.beat(wire)
        path = f"/v1/networks/{network}/picture"
        for person, whole in ((ann, True), (ben, True), (cat, False)):
            shown = (await bench.get(path, person)).json()
            (stitch,) = shown["stitches"]
            assert stitch["worker"] == studio.id and stitch["finished_ms"] is None
            assert (stitch["job"] == job, stitch["requester"] == lumen.id) == (whole, whole)
            assert ("embeddings" in json.dumps(shown["stitches"])) == whole
            states = {one["name"]: one["state"] for one in shown["devices"]}
            assert states == {"lumen": "offline", "studio": "ready"}
        assert (await bench.get(path, await stranger(bench, ann))).status_code == 404


async def stranger(bench, ann):
    other = await bench.network(ann, "other")
    return await bench.sign_in(await bench.invite(other, ann, "member", role="member"), "Eve")


class Looking:
    """A page's WebSocket."""

    def __init__(self, bench, network, headers, query=b""):
        self.said, self.heard = asyncio.Queue(), asyncio.Queue()
        self.said.put_nowait({"type": "websocket.connect"})
        raw = [(name.encode(), value.encode()) for name, value in {"host": "mesh.test", **headers}.items()]
        scope = {
            "type": "websocket",
            "path": f"/v1/networks/{network}/events",
            "query_string": query,
            "headers": raw,
            "client": ("127.0.0.1", 5),
        }
        bench.group.create_task(bench.coordinator.app(scope, self.said.get, self.heard.put))

    async def next(self):
        async with asyncio.timeout(10):
            return await self.heard.get()

    async def until(self, topic):
        while True:
            event = await self.next()
            if event["type"] == "websocket.send" and topic in json.loads(event["text"])["look"]:
                return


async def test_a_page_is_nudged_when_something_changes_and_falls_silent_when_its_person_is_let_go(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        cookie = await signed_in(bench)
        bench.http.cookies.clear()
        token = cookie["cookie"].partition("=")[2]
        person = {"authorization": f"Bearer {token}"}
        network = (await bench.http.post("/v1/networks", json={"name": "home"}, headers=person)).json()["network"]
        for headers in ({}, cookie, {**cookie, "origin": "http://evil.test"}, {"origin": "http://mesh.test"}):
            refused = Looking(bench, network, headers)
            assert (await refused.next())["type"] == "websocket.close", headers
        looking = Looking(bench, network, {**cookie, "origin": "http://mesh.test"})
        assert (await looking.next())["type"] == "websocket.accept"
        minted = await bench.http.post(f"/v1/networks/{network}/tokens", json={"purpose": "device"}, headers=person)
        from mesh.protocol import links

        await bench.join(links.parse(minted.json()["link"]), "lumen")
        await looking.until("devices")
        later = Looking(bench, network, {**cookie, "origin": "http://mesh.test"}, b"age_ms=20")
        await later.until("devices")  # it may have read the devices just before the new one came
        odd = Looking(bench, network, {**cookie, "origin": "http://mesh.test"}, b"age_ms=" + b"9" * 40)
        assert (await odd.next())["type"] == "websocket.accept"
        await bench.http.post("/v1/page/sign-out", json={}, headers={**cookie, **ORIGIN})
        while (event := await looking.next())["type"] != "websocket.close":
            assert event["type"] == "websocket.send"
        assert event["code"] == 4401


async def test_the_pages_bring_a_strict_policy_and_paths_are_only_names(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        for path in ("/", "/n/anything/at/all", "/join"):
            page = await bench.http.get(path)
            assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
            policies = page.headers.get_list("content-security-policy")
            assert len(policies) == 1 and "script-src 'self'" in policies[0] and "'unsafe" not in policies[0]
        for path in ("/assets/..%2f..%2ffiles.py", "/assets/nothing.js", "/agent.html", "/assets/.mesh-stamp"):
            assert (await bench.http.get(path)).status_code == 404, path
        assert "default-src 'none'" in (await bench.http.get("/v1/about")).headers["content-security-policy"]


async def test_a_coordinator_without_built_pages_says_so_and_a_link_still_says_what_to_do_with_it(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        assert (await bench.http.get("/v1/about")).json()["dashboard"] is Files("dashboard.html").there
        bench.coordinator.app._http.state.files = Files("dashboard.html", tmp_path / "nothing built")
        assert (await bench.http.get("/v1/about")).json()["dashboard"] is False, "`mesh web` asks this first"
        missing = await bench.http.get("/")
        assert (missing.status_code, missing.json()["error"]["code"]) == (503, "pages.missing")
        assert "mesh auth claim" in (await bench.http.get("/join")).text

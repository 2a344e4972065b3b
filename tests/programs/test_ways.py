"""Signing in with a provider, at the coordinator: who comes in, who does not, and every token that does not hold."""

import base64
import hashlib
import hmac
import json
from urllib.parse import parse_qsl, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from coordinators import Person, a_coordinator
from mesh.coordinator.config import BadConfig
from mesh.coordinator.settings import GithubSettings, OidcSettings, WaySettings
from mesh.coordinator.signing_in.ways import Ways
from mesh.networks.domains import BadDomain
from providers import CLIENT, SECRET, a_provider

pytestmark = pytest.mark.anyio
ORIGIN = {"origin": "http://mesh.test", "x-mesh-page": "1"}


def refused(answer, status, code):
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text


def settings(provider, **more):
    oidc = OidcSettings(provider.url, CLIENT, SECRET, "Example")
    github = GithubSettings("mesh", SECRET, provider.url)
    return WaySettings(oidc=oidc, github=github, **more)


class Browser:
    """One that keeps cookies, and goes to a provider and back."""

    def __init__(self, bench, person=None, scheme="http"):
        self.bench, self.cookies = bench, {}
        self.page = {**ORIGIN, "origin": f"{scheme}://mesh.test"}
        if person is not None:
            self.cookies["__Host-mesh" if scheme == "https" else "mesh"] = person.token

    async def post(self, path, body, **headers):
        self.bench.http.cookies.clear()
        cookie = {"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items() if value)}
        answer = await self.bench.post(path, body, **{**self.page, **cookie, **headers})
        for one in answer.headers.get_list("set-cookie"):
            name, _, value = one.partition(";")[0].partition("=")
            assert "HttpOnly" in one and "SameSite=Lax" in one and "Path=/" in one
            self.cookies[name] = value
        self.bench.http.cookies.clear()
        return answer

    async def begin(self, way="oidc", link=False, **body):
        path = "/v1/ways-in/start" if link else "/v1/page/ways/start"
        answer = await self.post(path, {"way": way, **body})
        assert answer.status_code == 200, answer.text
        self.asked = dict(parse_qsl(urlsplit(answer.json()["url"]).query))
        return self.asked

    async def finish(self, link=False, **changes):
        path = "/v1/ways-in/finish" if link else "/v1/page/ways/finish"
        return await self.post(path, {"code": "c0de", "state": self.asked["state"], **changes})

    async def enter(self, provider, way="oidc", claims=None, **body):
        await self.begin(way, **body)
        provider.token(self.bench.clock.now_ms, self.asked.get("nonce", ""), **(claims or {}))
        return await self.finish()

    async def link(self, provider, way="oidc", **claims):
        await self.begin(way, link=True)
        provider.token(self.bench.clock.now_ms, self.asked.get("nonce", ""), **claims)
        return await self.finish(link=True)

    async def me(self):
        token = self.cookies.get("mesh", "")
        return (await self.bench.get("/v1/me", Person("", token, ""))).json()


async def test_a_linked_account_signs_in_by_issuer_and_subject_and_by_nothing_else(tmp_path):
    with a_provider() as provider:
        async with a_coordinator(tmp_path, ways=settings(provider)) as bench:
            ann = await bench.claim()
            shown = (await bench.get("/v1/ways")).json()
            assert shown["providers"] == [{"way": "oidc", "title": "Example"}, {"way": "github", "title": "GitHub"}]
            mail = {"email": "ann@example.org", "email_verified": True}
            refused(await Browser(bench).enter(provider, claims=mail), 403, "ways.not_linked")
            assert (await Browser(bench, ann).link(provider, **mail)).status_code == 200
            browser = Browser(bench)
            answer = await browser.enter(provider, claims={"email": "other@elsewhere.org"}, back="/device")
            assert (answer.status_code, answer.json()["back"]) == (200, "/device")
            assert (await browser.me())["name"] == "Ann" and browser.cookies["mesh-flow"] == ""
            claims = {**mail, "sub": "ben-2"}
            refused(await Browser(bench).enter(provider, claims=claims), 403, "ways.not_linked")
            asked = next(form for path, form, _ in provider.asked if path == "/token")
            assert asked["grant_type"] == "authorization_code" and asked["redirect_uri"] == "http://mesh.test/signed-in"


async def test_the_code_is_bound_to_the_browser_that_began_and_pkce_to_the_code(tmp_path):
    with a_provider() as provider:
        async with a_coordinator(tmp_path, ways=settings(provider)) as bench:
            ann = await bench.claim()
            await Browser(bench, ann).link(provider)
            browser, other = Browser(bench), Browser(bench)
            asked = await browser.begin()
            assert asked["code_challenge_method"] == "S256" and asked["response_type"] == "code"
            await other.begin()
            provider.token(bench.clock.now_ms, asked["nonce"])
            refused(await other.finish(state=asked["state"]), 410, "ways.flow_lost")
            refused(await Browser(bench).post("/v1/page/ways/finish", {"code": "c", "state": asked["state"]}), 410,
                    "ways.flow_lost")  # fmt: skip
            refused(await browser.finish(state="guessed"), 410, "ways.flow_lost")
            refused(await browser.finish(iss="https://evil.test"), 410, "ways.flow_lost")
            refused(await browser.finish(error="access_denied", code=""), 403, "ways.provider_refused")
            bench.clock.forward(600)
            refused(await browser.finish(), 410, "ways.flow_lost")
            for headers in ({"origin": "http://evil.test"}, {"x-mesh-page": ""}, {"origin": "null"}):
                sent = {"way": "oidc"}, {"code": "c", "state": "s"}
                for path, body in zip(("start", "finish"), sent, strict=True):
                    if headers != {"x-mesh-page": ""}:
                        answer = await browser.post(f"/v1/page/ways/{path}", body, **headers)
                        refused(answer, 403, "auth.not_from_page")
            await browser.enter(provider)
            form = [form for path, form, _ in provider.asked if path == "/token"][-1]
            digest = hashlib.sha256(form["code_verifier"].encode()).digest()
            assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == browser.asked["code_challenge"]
            for back in ("https://evil.test", "//evil.test", "/n/../x", "javascript:alert(1)"):
                refused(
                    await browser.post("/v1/page/ways/start", {"way": "oidc", "back": back}), 400, "request.invalid"
                )


async def test_signing_in_gives_a_new_session_and_a_planted_one_is_worth_nothing(tmp_path):
    with a_provider() as provider:
        async with a_coordinator(tmp_path, ways=settings(provider)) as bench:
            ann = await bench.claim()
            await Browser(bench, ann).link(provider)
            victim = Browser(bench)
            victim.cookies["mesh"] = "mesh_" + "p" * 43
            assert (await victim.enter(provider)).status_code == 200
            assert victim.cookies["mesh"] not in ("mesh_" + "p" * 43, ann.token)
            assert (await bench.get("/v1/me", Person("", "mesh_" + "p" * 43, ""))).status_code == 401


FORGED = {
    "another issuer": {"iss": "https://evil.test"},
    "for somebody else": {"aud": "other"},
    "for several, not for us": {"aud": [CLIENT, "other"], "azp": "other"},
    "for several, for nobody": {"aud": [CLIENT, "other"]},
    "another nonce": {"nonce": "x"},
    "no nonce": {"nonce": None},
    "expired": {"exp": 1_700_000_000},
    "without an end": {"exp": None},
    "without a subject": {"sub": None},
    "a number as subject": {"sub": 5},
}


def part(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unsigned(claims):
    return f"{part({'alg': 'none'})}.{part(claims)}."


def by_the_public_key(claims, provider):
    """What everybody may know, taken as a secret."""
    said = f"{part({'alg': 'HS256', 'kid': 'one'})}.{part(claims)}"
    tag = hmac.new(provider.key.as_pem(private=False), said.encode(), hashlib.sha256).digest()
    return f"{said}.{part(tag)}"


async def test_no_token_that_does_not_hold_signs_anybody_in(tmp_path):
    with a_provider() as provider:
        async with a_coordinator(tmp_path, ways=settings(provider)) as bench:
            ann = await bench.claim()
            assert (await Browser(bench, ann).link(provider)).status_code == 200
            for why, claims in FORGED.items():
                answer = await Browser(bench).enter(provider, claims=claims)
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "ways.provider_odd"), why
            browser = Browser(bench)
            good = {"iss": provider.url, "aud": CLIENT, "sub": "ann-1", "iat": 1, "exp": 9_999_999_999}
            other = ECKey.generate_key("P-256", {"kid": "one"})
            for forge in (unsigned, by_the_public_key, lambda claims: jwt.encode({"alg": "ES256"}, claims, other)):
                claims = {**good, "nonce": (await browser.begin())["nonce"]}
                provider.id_token = forge(claims) if forge is not by_the_public_key else forge(claims, provider)
                refused(await browser.finish(), 503, "ways.provider_odd")
            assert (await Browser(bench).enter(provider)).status_code == 200, "what does hold still does"


async def test_a_provider_that_turns_its_key_is_followed_and_one_that_lies_of_itself_is_not(tmp_path):
    with a_provider() as provider:
        async with a_coordinator(tmp_path, ways=settings(provider)) as bench:
            ann = await bench.claim()
            await Browser(bench, ann).link(provider)
            provider.key = ECKey.generate_key("P-256", {"kid": "two"})
            provider.header = {"alg": "ES256", "kid": "two"}
            bench.clock.forward(120)
            assert (await Browser(bench).enter(provider)).status_code == 200
            bench.clock.forward(7200)
            for answer in (
                {**provider.metadata, "issuer": "https://evil.test"},
                {**provider.metadata, "token_endpoint": "http://evil.test/token"},
                (302, b"http://127.0.0.1:1/"),
                (200, b"x" * 2_000_000),
                (200, b"no json"),
            ):
                provider.answers["/.well-known/openid-configuration"] = answer
                started = await Browser(bench).post("/v1/page/ways/start", {"way": "oidc"})
                refused(started, 503, "ways.provider_odd")


async def test_an_invite_and_a_provider_make_somebody_new_and_a_domain_lets_in_only_who_is_verified(tmp_path):
    with a_provider() as provider:
        async with a_coordinator(tmp_path) as bench:
            ann = await bench.claim()
            network = await bench.network(ann)
        admits = {"example.org": network}
        async with a_coordinator(tmp_path, ways=settings(provider, admits=admits)) as bench:
            invite = await bench.invite(network, ann, "member", role="guest", name="Ben")
            ben = Browser(bench)
            answer = await ben.enter(provider, claims={"sub": "ben"}, secret=invite.secret, name="Ben")
            assert (answer.json()["name"], answer.json()["network"]) == ("Ben", network)
            assert [one["role"] for one in (await ben.me())["networks"]] == ["guest"]
            again = Browser(bench)
            assert (await again.enter(provider, claims={"sub": "ben"})).json()["member"] == answer.json()["member"]
            lab = await bench.network(ann, "lab")
            further = await bench.invite(lab, ann, "member", uses=5)
            known = await again.enter(provider, claims={"sub": "ben"}, secret=further.secret, name="Another")
            assert (known.json()["member"], known.json()["network"]) == (answer.json()["member"], lab)
            assert {one["name"]: one["role"] for one in (await again.me())["networks"]} == {
                "home": "guest",
                "lab": "member",
            }
            twice = await again.enter(provider, claims={"sub": "ben"}, secret=further.secret)
            assert (twice.status_code, twice.json()["network"]) == (200, None), "signed in, and in already"
            late = await Browser(bench).enter(provider, claims={"sub": "cat"}, secret=invite.secret, name="Cat")
            refused(late, 410, "token.used")
            for claims in (
                {"sub": "d", "email": "d@example.org"},
                {"sub": "d", "email": "d@example.org", "email_verified": "true"},
                {"sub": "d", "email": "d@evil.org", "email_verified": True},
                {"sub": "d", "email": "d@example.org.evil.org", "email_verified": True},
            ):
                refused(await Browser(bench).enter(provider, claims=claims), 403, "ways.not_linked")
            dora = Browser(bench)
            claims = {"sub": "d", "email": "d@EXAMPLE.org", "email_verified": True, "name": "Dora\u202e<b>"}
            answer = await dora.enter(provider, claims=claims)
            assert answer.status_code == 200, answer.text
            assert [one["role"] for one in (await dora.me())["networks"]] == ["member"]


async def test_github_is_matched_by_the_accounts_number(tmp_path):
    with a_provider() as provider:
        async with a_coordinator(tmp_path, ways=settings(provider)) as bench:
            ann = await bench.claim()
            assert (await Browser(bench, ann).link(provider, "github")).status_code == 200
            provider.account = {"id": 4711, "login": "renamed"}
            browser = Browser(bench)
            assert (await browser.enter(provider, "github")).status_code == 200
            assert (await browser.me())["name"] == "Ann"
            provider.account = {"id": 4712, "login": "ann"}
            refused(await Browser(bench).enter(provider, "github"), 403, "ways.not_linked")
            for account in ({"login": "ann"}, {"id": "4711"}, {"id": 0}, {"id": True}):
                provider.account = account
                refused(await Browser(bench).enter(provider, "github"), 503, "ways.provider_odd")
            provider.answers["/login/oauth/access_token"] = {"error": "bad_verification_code"}
            refused(await Browser(bench).enter(provider, "github"), 403, "ways.provider_refused")


async def test_ways_in_are_listed_and_removed_but_never_the_last_and_never_anothers(tmp_path):
    with a_provider() as provider:
        async with a_coordinator(tmp_path, ways=settings(provider)) as bench:
            ann = await bench.claim()
            network = await bench.network(ann)
            ben = await bench.sign_in(await bench.invite(network, ann, "member", role="member"), "Ben")
            hers = Browser(bench, ann)
            assert (await hers.link(provider, email="ann@example.org")).status_code == 200
            refused(await Browser(bench, ben).link(provider), 409, "ways.taken")
            [one] = (await bench.get("/v1/ways-in", ann)).json()["ways"]
            assert (one["label"], one["issuer"], one["works"]) == ("ann@example.org", provider.url, True)
            refused(await bench.delete(f"/v1/ways-in/{one['way']}", ann), 409, "ways.last")
            assert (await hers.link(provider, "github")).status_code == 200
            refused(await bench.delete(f"/v1/ways-in/{one['way']}", ben), 404, "ways.unknown")
            assert (await bench.delete(f"/v1/ways-in/{one['way']}", ann)).status_code == 200
            refused(await Browser(bench).enter(provider), 403, "ways.not_linked")
            started = Browser(bench, ann)
            await started.begin(link=True)
            provider.token(bench.clock.now_ms, started.asked["nonce"])
            started.cookies["mesh"] = ben.token
            refused(await started.finish(link=True), 410, "ways.flow_lost")
            refused(await started.finish(), 410, "ways.flow_lost")


async def test_tries_are_counted_and_settings_that_cannot_work_are_refused(tmp_path):
    with a_provider() as provider:
        async with a_coordinator(tmp_path, ways=settings(provider)) as bench:
            await bench.claim()
            for _ in range(30):
                assert (await Browser(bench).post("/v1/page/ways/start", {"way": "oidc"})).status_code == 200
            refused(await Browser(bench).post("/v1/page/ways/start", {"way": "oidc"}), 429, "ways.too_often")
            bench.clock.forward(600)
            refused(await Browser(bench).post("/v1/page/ways/start", {"way": "nothing"}), 404, "ways.not_here")
    for wrong in (
        WaySettings(oidc=OidcSettings("http://id.example.org", CLIENT)),
        WaySettings(oidc=OidcSettings("file:///etc/passwd", CLIENT)),
        WaySettings(github=GithubSettings(CLIENT, SECRET, "http://evil.test")),
        WaySettings(admits={"example.org": "N"}),
        WaySettings(oidc=OidcSettings("https://id.example.org", CLIENT), admits={"gmail.com": "N"}),
        WaySettings(oidc=OidcSettings("https://id.example.org", CLIENT), admits={"org": "N"}),
    ):
        with pytest.raises((BadConfig, BadDomain)):
            Ways(wrong, "https://mesh.test", lambda: 0)

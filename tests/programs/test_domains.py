"""Domains that a network lists: who shows an address there comes in by it, and nobody else."""

import pytest

from coordinators import a_coordinator
from engines import ENGINES
from mailboxes import a_mailbox, link_in
from mesh.coordinator.settings import MailSettings, WaySettings
from mesh.protocol import links
from programs.test_ways import Browser, refused, settings
from providers import a_provider
from waiting import until

pytestmark = pytest.mark.anyio


async def listed(bench, network, person, domain="example.org", **body):
    path = f"/v1/networks/{network}/domains/{domain}"
    answer = await bench.http.put(path, json=body, headers=person.headers)
    bench.clock.forward(0.001)
    return answer


async def domains(bench, network, person):
    found = (await bench.get(f"/v1/networks/{network}/domains", person)).json()["domains"]
    return [(one["domain"], one["role"], one["by"]) for one in found]


async def people(bench, network, person):
    found = (await bench.get(f"/v1/networks/{network}/members", person)).json()["members"]
    return {one["name"]: one["role"] for one in found}


def of(who, domain="example.org", **more):
    return {"sub": who, "name": who, "email": f"{who}@{domain}", "email_verified": True, **more}


@pytest.mark.parametrize("engine", ENGINES)
async def test_who_shows_an_address_in_a_listed_domain_comes_into_every_network_that_lists_it(
    tmp_path, request, engine
):
    where = request.getfixturevalue(engine)(tmp_path).where
    with a_provider() as provider:
        async with a_coordinator(tmp_path, where=where, ways=settings(provider)) as bench:
            ann = await bench.claim()
            home, lab, far = [await bench.network(ann, name) for name in ("home", "lab", "far")]
            refused(await Browser(bench).enter(provider, claims=of("ben")), 403, "ways.not_linked")
            assert (await listed(bench, home, ann, "EXAMPLE.org")).status_code == 200
            assert (await listed(bench, lab, ann, role="guest")).status_code == 200
            assert (await listed(bench, far, ann, "sub.example.org")).status_code == 200
            assert await domains(bench, home, ann) == [("example.org", "member", ann.member)]
            for claims in (
                of("eve", email_verified=False), of("eve", email_verified="true"), of("eve", "evil.org"),
                of("eve", "example.org.evil.org"), of("eve", "example.orgs"), of("eve", "a.sub.example.org"),
            ):  # fmt: skip
                refused(await Browser(bench).enter(provider, claims=claims), 403, "ways.not_linked")
            ben = Browser(bench)
            assert (await ben.enter(provider, claims=of("ben"))).status_code == 200
            assert {one["name"]: one["role"] for one in (await ben.me())["networks"]} == {
                "home": "member",
                "lab": "guest",
            }
            assert await people(bench, home, ann) == {"Ann": "admin", "ben": "member"}
            assert await people(bench, far, ann) == {"Ann": "admin"}
            log = (await bench.get(f"/v1/networks/{home}/decisions", ann)).json()["decisions"]
            assert [(one["kind"], one["facts"]) for one in log] == [
                ("network.domain", {"domain": "example.org", "role": "member"})
            ]
        async with a_coordinator(tmp_path, bench.clock, where=where, ways=settings(provider)) as bench:
            cat = Browser(bench)
            assert (await cat.enter(provider, claims=of("cat"))).status_code == 200, "after a restart too"
            gone = await bench.delete(f"/v1/networks/{home}/domains/example.org", ann)
            assert gone.status_code == 200 and await domains(bench, home, ann) == []
            assert await people(bench, home, ann) == {"Ann": "admin", "ben": "member", "cat": "member"}, "they stay"
            assert (await Browser(bench).enter(provider, claims=of("dan"))).status_code == 200
            assert "dan" not in await people(bench, home, ann) and "dan" in await people(bench, lab, ann)


async def test_who_was_removed_or_refused_or_left_does_not_come_back_by_the_domain(tmp_path):
    with a_provider() as provider:
        async with a_coordinator(tmp_path, ways=settings(provider)) as bench:
            ann = await bench.claim()
            home, lab = await bench.network(ann, "home"), await bench.network(ann, "lab")
            await listed(bench, home, ann)
            ben = Browser(bench)
            told = (await ben.enter(provider, claims=of("ben"))).json()
            assert (told["network"], told["state"]) == (home, "active")
            assert (await bench.delete(f"/v1/networks/{home}/members/{told['member']}", ann)).status_code == 200
            again = (await ben.enter(provider, claims=of("ben"))).json()
            assert (again["member"], again["network"]) == (told["member"], None)
            assert await people(bench, home, ann) == {"Ann": "admin"}
            path = f"/v1/networks/{home}/settings"
            await bench.http.put(path, json={"approve_people": True}, headers=ann.headers)
            cat = Browser(bench)
            told = (await cat.enter(provider, claims=of("cat"))).json()
            assert (told["network"], told["state"]) == (home, "pending")
            (waiting,) = (await bench.get(f"/v1/networks/{home}/applicants", ann)).json()["applicants"]
            assert (waiting["address"], waiting["invited_by"]) == ("cat@example.org", ann.member)
            assert (await cat.enter(provider, claims=of("cat"))).json()["network"] is None, "once is enough"
            refusal = f"/v1/networks/{home}/applicants/{told['member']}/refuse"
            assert (await bench.post(refusal, {"why": "no"}, ann)).status_code == 200
            assert (await cat.enter(provider, claims=of("cat"))).json()["network"] is None
            assert (await bench.get(f"/v1/networks/{home}/applicants", ann)).json()["applicants"] == []
            await listed(bench, lab, ann)
            late = (await cat.enter(provider, claims=of("cat"))).json()
            assert (late["member"], late["network"]) == (told["member"], lab), "where they never were they come in"


async def test_a_listing_outlives_who_made_it_and_the_allowance_comes_with_it(tmp_path):
    with a_provider() as provider:
        async with a_coordinator(tmp_path, ways=settings(provider)) as bench:
            ann = await bench.claim()
            home = await bench.network(ann)
            line = {"credit_line": "strict"}
            await bench.http.put(f"/v1/networks/{home}/settings", json=line, headers=ann.headers)
            zoe = await bench.sign_in(await bench.invite(home, ann, "member", role="admin"), "Zoe")
            await listed(bench, home, zoe, role="member")
            assert (await bench.delete(f"/v1/networks/{home}/members/{zoe.member}", ann)).status_code == 200
            ben = (await Browser(bench).enter(provider, claims=of("ben"))).json()["member"]
            accounts = (await bench.get(f"/v1/networks/{home}/balances", ann)).json()["accounts"]
            assert [one["amount"] for one in accounts if one["member"] == ben and one["kind"] == "balance"] == [
                600_000_000
            ]
            member = await bench.sign_in(await bench.invite(home, ann, "member"), "Member")
            refused(await listed(bench, home, member), 403, "members.not_allowed")
            refused(await listed(bench, home, ann, role="admin"), 400, "request.invalid")
            refused(await listed(bench, home, ann, "gmail.com"), 400, "ways.bad_domain")
            refused(await bench.delete(f"/v1/networks/{home}/domains/other.org", ann), 404, "network.domain_unknown")
            assert await domains(bench, home, member) == [("example.org", "member", zoe.member)]


async def test_the_operators_listing_is_shown_and_the_networks_own_word_on_it_counts(tmp_path):
    with a_provider() as provider:
        async with a_coordinator(tmp_path, ways=settings(provider)) as bench:
            ann = await bench.claim()
            home = await bench.network(ann)
        async with a_coordinator(tmp_path, bench.clock, ways=settings(provider, admits={"example.org": home})) as bench:
            assert await domains(bench, home, ann) == [("example.org", "member", None)]
            refused(await bench.delete(f"/v1/networks/{home}/domains/example.org", ann), 404, "network.domain_unknown")
            assert (await Browser(bench).enter(provider, claims=of("ben"))).status_code == 200
            await listed(bench, home, ann, role="guest")
            assert (await Browser(bench).enter(provider, claims=of("cat"))).status_code == 200
            assert await people(bench, home, ann) == {"Ann": "admin", "ben": "member", "cat": "guest"}


async def test_a_letter_lets_in_who_has_an_address_in_a_listed_domain_and_nobody_learns_of_it(tmp_path):
    with a_mailbox() as box:
        ways = WaySettings(mail=MailSettings(box.url, "mesh@mesh.test"))
        async with a_coordinator(tmp_path, ways=ways) as bench:
            ann = await bench.claim()
            home = await bench.network(ann)
            await listed(bench, home, ann, "Bücher.example")
            lea, thief = Browser(bench), Browser(bench)
            answers = []
            for address in ("stranger@elsewhere.org", "x@sub.xn--bcher-kva.example", "Lea@Bücher.example"):
                answer = await lea.post("/v1/page/mail", {"address": address})
                answers.append((answer.status_code, answer.text, sorted(answer.headers)))
            assert answers[0] == answers[1] == answers[2]
            await until(lambda: len(box.letters) >= 1)
            (letter,) = box.letters
            assert letter["To"] == "lea@xn--bcher-kva.example"
            secret = links.parse(link_in(letter)).secret
            looked = (await thief.post("/v1/links/look", {"secret": secret})).json()
            assert (looked["purpose"], looked["network"], looked["proven"]) == ("member", "home", True)
            refused(await thief.post("/v1/page/sign-in", {"secret": secret, "name": "Eve"}), 403, "ways.other_browser")
            entered = await lea.post("/v1/page/sign-in", {"secret": secret, "name": "Lea"})
            assert (entered.status_code, entered.json()["network"]) == (200, home)
            refused(await lea.post("/v1/page/sign-in", {"secret": secret, "name": "Lea"}), 410, "token.used")
            assert await people(bench, home, ann) == {"Ann": "admin", "Lea": "member"}
            lab = await bench.network(ann, "lab")
            await listed(bench, lab, ann, "xn--bcher-kva.example")
            await lea.post("/v1/page/mail", {"address": "lea@bücher.example"})
            await until(lambda: len(box.letters) >= 2)
            back = links.parse(link_in(box.letters[1])).secret
            assert (await lea.post("/v1/page/sign-in", {"secret": back})).json()["network"] == lab, (
                "known, and new there"
            )
            assert await people(bench, lab, ann) == {"Ann": "admin", "Lea": "member"}

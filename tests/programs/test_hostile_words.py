"""Hostile words in every field that a person can type into: refused, or kept and shown as the plain words they are.

Through the API, the ledger's CSV and JSON Lines, and the command line's tables; pages have their own test.
"""

import csv
import io
import json
import unicodedata

import pytest

from coordinators import a_coordinator
from mesh.cli.output import table
from programs.test_access_matrix import kept

pytestmark = pytest.mark.anyio

HOSTILE = {
    "a script": "<script>alert(1)</script>",
    "an image": '"><img src=x onerror=alert(1)>',
    "SQL": "'; DROP TABLE members; --",
    "SQL, true": "' OR '1'='1",
    "markup of the terminal": "[link=http://evil.test]click[/link]",
    "an escape of the terminal": "\x1b]8;;http://evil.test\x07click\x1b[2J",
    "a formula": '=HYPERLINK("http://evil.test")',
    "a formula with +": "+1+cmd|' /C calc'!A0",
    "a formula with @": "@SUM(1+1)",
    "a tab first": "\t=1+1",
    "right to left": "\u202egpj.exe",
    "isolates": "\u2066admin\u2069",
    "right-to-left letters": "\u05e9\u05dc\u05d5\u05dd \u0627\u0644\u0633\u0644\u0627\u0645",
    "emoji": "👩‍🚀🏳️‍🌈",
    "nothing seen": "\u200b",
    "a null": "Bob\x00",
    "lines": "Bob\nadmin: Eve",
    "half a pair": "\ud800",
    "combining": "Z" + "\u0335" * 60,
    "a path": "../../etc/passwd",
    "a template": "{{7*7}}${7*7}%s%n",
    "long": "a" * 100_000,
}
CONTROL = ("Cc", "Cf", "Cs")


def harmless(text: str) -> bool:
    """Nothing in it moves a cursor, hides or reorders; emoji may be joined, and a policy has lines."""
    return not any(unicodedata.category(char) in CONTROL for char in text if char not in "\n\t\u200d")


def words(told):
    """Every text in an answer."""
    if isinstance(told, str):
        yield told
    elif isinstance(told, dict):
        yield from (word for one in told.items() for part in one for word in words(part))
    elif isinstance(told, list):
        yield from (word for one in told for word in words(one))


def fields(network: str, member: str, device: str):
    """Every field of words: how it is sent, and where it is read again."""
    here = f"/v1/networks/{network}"
    yield "network", "POST", "/v1/networks", lambda text: {"name": text}, "/v1/networks"
    yield "invite", "POST", f"{here}/tokens", lambda text: {"purpose": "member", "name": text}, f"{here}/tokens"
    yield "device link", "POST", f"{here}/tokens", lambda text: {"purpose": "device", "name": text}, f"{here}/tokens"
    yield "tag", "POST", f"{here}/tokens", lambda text: {"purpose": "device", "tags": [text]}, f"{here}/tokens"
    yield "key", "POST", f"{here}/keys", lambda text: {"name": text, "scopes": ["read"]}, f"{here}/keys"
    gift = lambda text: {"member": member, "amount": 1, "reason": text}  # noqa: E731
    yield "reason", "POST", f"{here}/credits", gift, f"{here}/ledger"
    policy = lambda text: {"text": f"version: 1\n# {text}", "base_version": 0, "note": "x"}  # noqa: E731
    yield "policy", "PUT", f"{here}/policy", policy, f"{here}/policy"
    note = lambda text: {"text": "version: 1\ngrants: []\n", "base_version": 0, "note": text}  # noqa: E731
    yield "policy's note", "PUT", f"{here}/policy", note, f"{here}/policy/versions"
    yield "scope", "POST", f"{here}/keys", lambda text: {"name": "k", "scopes": [text]}, f"{here}/keys"
    yield "code", "POST", f"{here}/pairings/look", lambda text: {"code": text}, f"{here}/devices"
    yield "owed", "POST", f"{here}/owed/settle", lambda text: {"requester": text, "job": text, "attempt": 1}, "/v1/me"
    yield "mark", "POST", f"{here}/marks/clear", lambda text: {"device": text, "other": text}, f"{here}/marks"
    yield "qr", "POST", "/v1/qr", lambda text: {"text": text}, "/v1/me"
    for name in ("member", "device", "workload", "model", "at"):
        asked = f"{here}/policy/why?{name}="
        yield f"why {name}", "GET", asked, lambda text: text, "/v1/me"
    for name in ("member", "device", "kind", "cursor"):
        yield f"ledger {name}", "GET", f"{here}/ledger?{name}=", lambda text: text, "/v1/me"
    yield "export device", "GET", f"{here}/ledger/export?device=", lambda text: text, "/v1/me"
    yield "jobs cursor", "GET", f"{here}/jobs?cursor=", lambda text: text, "/v1/me"
    for path in ("devices", "members", "tokens", "keys"):
        yield f"{path} id", "DELETE", f"{here}/{path}/", lambda text: text, f"{here}/{path}"


def sent(bench, method, path, body, person):
    """The request; words of a query or a path are written as a browser writes them."""
    if method in ("GET", "DELETE"):
        from urllib.parse import quote

        return bench.http.request(method, path + quote(body[:2000], safe="", errors="surrogatepass"), headers=person)
    raw = json.dumps(body).encode("ascii")  # half a pair goes as \ud800, which JSON allows
    return bench.http.request(method, path, content=raw, headers={**person, "content-type": "application/json"})


@pytest.mark.parametrize("what", HOSTILE)
async def test_hostile_words_are_refused_or_kept_as_words(what, tmp_path):
    text = HOSTILE[what]
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        device = await bench.device(network, ann, "lumen")
        for name, method, path, made, seen in fields(network, ann.member, device.id):
            before = kept(bench)
            answer = await sent(bench, method, path, made(text), ann.headers)
            assert answer.status_code < 500, (name, answer.text)
            if answer.is_error:
                error = answer.json()["error"]
                assert error["code"] and harmless(error["message"]), (name, error)
                assert len(answer.content) < 20_000, (name, "a refusal repeats little of what was sent")
                assert kept(bench) == before, (name, "a refusal leaves nothing behind")
            shown = await bench.get(seen, ann)
            assert shown.status_code == 200, (name, shown.text)
            assert shown.headers["content-type"] == "application/json"
            assert shown.headers["x-content-type-options"] == "nosniff"
            assert all(harmless(word) for word in words(shown.json())), (name, shown.text)
        await exported(bench, f"/v1/networks/{network}/ledger/export", ann)


async def exported(bench, path, person):
    """No cell of the CSV is a formula; the JSON Lines say the same."""
    table = list(csv.reader(io.StringIO((await bench.get(f"{path}?format=csv", person)).text, newline="")))
    for row in table[1:]:
        for cell in row:
            number = cell.lstrip("-").replace(".", "", 1).isdigit()
            assert number or not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")), row
    lines = [json.loads(line) for line in (await bench.get(path, person)).text.splitlines()]
    assert len(lines) == len(table) - 1


@pytest.mark.parametrize("what", HOSTILE)
async def test_a_persons_name_is_refused_or_harmless_everywhere(what, tmp_path, capsys):
    text = HOSTILE[what]
    async with a_coordinator(tmp_path) as bench:
        ann = await bench.claim()
        network = await bench.network(ann)
        invite = await bench.invite(network, ann, "member")
        body = json.dumps({"secret": invite.secret, "name": text, "label": text[:63]}).encode("ascii")
        answer = await bench.http.post("/v1/claim", content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (200, 400), answer.text
        people = (await bench.get(f"/v1/networks/{network}/members", ann)).json()["members"]
        assert len(people) == 1 + (answer.status_code == 200)
        assert all(harmless(one["name"]) and len(one["name"]) <= 100 for one in people)
        capsys.readouterr()
        table(("who",), [(one["name"],) for one in people])
        printed = capsys.readouterr().out
        assert "\x1b]8" not in printed and "\x1b[2J" not in printed
        if answer.status_code == 200 and "[link" in text:
            assert "[link=" in printed, "the words themselves, and no link"


async def test_what_is_told_of_framing_sniffing_and_referrers_holds_on_every_answer(tmp_path):
    async with a_coordinator(tmp_path) as bench:
        for path in ("/", "/join", "/v1/about", "/v1/networks", "/nothing", "/assets/x", "/openapi.json"):
            headers = (await bench.http.get(path)).headers
            assert "frame-ancestors 'none'" in headers["content-security-policy"], path
            assert headers["x-content-type-options"] == "nosniff", path
            assert headers["referrer-policy"] == "no-referrer", path
        for path in ("//evil.test", "/\\evil.test", "/n/..//evil.test", "/join?next=//evil.test"):
            answer = await bench.http.get(path)
            assert answer.status_code not in range(300, 400), "nobody is sent anywhere"

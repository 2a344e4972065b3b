"""Join links: what is made can be read, and nothing else can."""

import examples
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.protocol.links import BadLink, JoinLink, new_secret, parse

SECRET = new_secret(b"\x07" * 32)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8400", "https://mesh.example.org", "https://[fd00::1]:8400"])
@pytest.mark.parametrize("tls", [None, "ab" * 32])
def test_a_link_reads_back(url, tls):
    link = JoinLink(url, SECRET, examples.COORDINATOR_KEY, tls)
    assert parse(f"  {link.text()}\n") == link


GOOD = JoinLink("https://mesh.example.org:8400", SECRET, examples.COORDINATOR_KEY, None).text()


@pytest.mark.parametrize(
    "bad",
    [
        GOOD[:-1],
        GOOD.replace("/join", "/"),
        GOOD.replace("https", "ftp"),
        GOOD.replace("#", "?"),
        GOOD.replace("v1", "v2"),
        GOOD.replace("8400", "84000"),
        GOOD.replace("mesh.example.org", "user@mesh.example.org"),
        GOOD.replace(SECRET, SECRET[:-1]),
        "hello",
        "",
        GOOD + "0" * 2000,
    ],
)
def test_a_damaged_link_is_refused_without_echoing_its_secret(bad):
    with pytest.raises(BadLink) as refused:
        parse(bad)
    assert SECRET[:20] not in str(refused.value)


@given(st.text(max_size=200))
def test_any_text_is_a_link_or_a_refusal(text):
    with pytest.raises(BadLink):
        parse(text)


NETWORK_KEY = examples.COORDINATOR_KEY
MORE = ("https://192.168.1.7:8400", "https://[fd00::2]:8400")


@pytest.mark.parametrize("network", [None, NETWORK_KEY])
@pytest.mark.parametrize("more", [(), MORE])
def test_a_link_pins_its_network_and_names_further_addresses(network, more):
    link = JoinLink("https://mesh.example.org", SECRET, examples.COORDINATOR_KEY, "ab" * 32, network, more)
    assert parse(link.text()) == link


def test_a_link_without_them_is_the_text_it_always_was():
    assert GOOD.partition("#")[2] == f"v1.{SECRET}.{examples.COORDINATOR_KEY}.-"


@pytest.mark.parametrize(
    "more",
    [
        ("ftp://a",),
        ("https://a/b",),
        ("https://user@a",),
        ("https://a:99999",),
        ("https://a#b",),
        ("",),
        ("https://a",) * 5,
    ],
)
def test_odd_further_addresses_are_refused(more):
    bad = JoinLink("https://mesh.example.org", SECRET, examples.COORDINATOR_KEY, "ab" * 32, None, more)
    with pytest.raises(BadLink):
        parse(bad.text() if more != ("",) else bad.text() + "AA")

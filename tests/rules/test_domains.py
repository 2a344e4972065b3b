"""Domains whose people come in: in which form they are compared, and which networks let whom in."""

import pytest

from mesh.ids import MemberId, NetworkId
from mesh.networks.domains import (
    DOMAINS_MAX,
    BadDomain,
    DomainUnknown,
    Listing,
    TooManyDomains,
    domain_of,
    domain_to_admit,
    lets_in,
    listed,
    normal,
    with_domain,
    without_domain,
)
from mesh.networks.ways_in import mail_address

ANN, HOME, LAB = MemberId("ann"), NetworkId("home"), NetworkId("lab")


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (" Example.ORG ", "example.org"),
        ("ＥＸＡＭＰＬＥ.org", "example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("straße.de", "xn--strae-oqa.de"),
        ("пример.рф", "xn--e1afmkfd.xn--p1ai"),
    ],
)
def test_a_domain_has_one_form(text: str, form: str) -> None:
    assert normal(text) == domain_to_admit(text) == form
    assert domain_of(f"ann@{text}") == form


@pytest.mark.parametrize(
    "text",
    ["", "org", "a..b", "*.example.org", "@example.org", "ann@example.org", "exa mple.org", "example.org.", "10.0.0.1",
     "-a.org", "a_b.org", "x" * 64 + ".org", ("a" * 60 + ".") * 5 + "org", "gmail.com", "GMX.de", "a.org/..",
     "\u202ea.org"],
)  # fmt: skip
def test_what_is_no_domain_of_ones_own_is_refused(text: str) -> None:
    with pytest.raises(BadDomain):
        domain_to_admit(text)


def test_an_address_in_another_script_is_one_with_its_other_form() -> None:
    assert mail_address("Ann@Bücher.example") == "ann@xn--bcher-kva.example"
    assert mail_address("änn@example.org") is None and mail_address("ann@ß") is None


def test_a_network_lets_in_exactly_the_domain_that_it_lists_and_the_operators_word_is_for_one_network() -> None:
    home = with_domain({"weights": 1}, "example.org", "guest", ANN)
    networks = [(HOME, home), (LAB, {})]
    assert lets_in("example.org", networks, {}) == [Listing(HOME, "guest", ANN)]
    for other in ("sub.example.org", "xexample.org", "example.org.evil.org", "org", None):
        assert lets_in(other, networks, {"example.org": LAB}) == []
    both = lets_in("example.org", networks, {"example.org": LAB, "other.org": HOME})
    assert both == [Listing(HOME, "guest", ANN), Listing(LAB, "member", None)]
    assert lets_in("example.org", networks, {"example.org": HOME}) == [Listing(HOME, "guest", ANN)], "its own word"
    assert without_domain(home, "example.org") == {"weights": 1, "domains": {}}
    with pytest.raises(DomainUnknown):
        without_domain(home, "other.org")


def test_a_list_is_short_and_a_role_can_be_changed_in_a_full_one() -> None:
    settings: dict[str, object] = {}
    for at in range(DOMAINS_MAX):
        settings = with_domain(settings, f"d{at}.org", "member", ANN)
    with pytest.raises(TooManyDomains):
        with_domain(settings, "more.org", "member", ANN)
    assert listed(with_domain(settings, "d7.org", "guest", ANN))["d7.org"] == ("guest", ANN)

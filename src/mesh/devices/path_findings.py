"""What measured facts mean for the paths between devices: relays, UDP, and what the router does.

Touches: nothing.
"""

from collections.abc import Iterator

from mesh.devices.facts import NetworkFacts, RelayFacts
from mesh.devices.findings import Finding, Level, ms
from mesh.devices.nat import Nat, Sight, classify, nat_of


def sights_of(facts: NetworkFacts) -> list[Sight]:
    """What the observers said that answered."""
    return [Sight(one.observer, one.heard) for one in facts.relays or () if one.observer and one.heard]


def path_findings(facts: NetworkFacts) -> Iterator[Finding]:
    """Judge what was measured of the ways to other devices."""
    yield from _relays(facts)
    yield from _udp(facts)


def _relays(facts: NetworkFacts) -> Iterator[Finding]:
    if facts.relays is None:
        if facts.joined:
            yield Finding(
                "relay.unknown",
                "note",
                "Which relays the network has is not known here yet.",
                "Run `mesh up` once while the coordinator can be reached.",
            )
        return
    if not facts.relays:
        yield Finding(
            "relay.none",
            "warning",
            "The network has no relay: devices that cannot reach each other directly have no path.",
            "An admin runs `mesh serve`, which starts one, or adds one with `mesh relay --join LINK`.",
        )
        return
    lost: Level = "warning" if any(one.rtt_ms is not None for one in facts.relays) else "problem"
    for one in facts.relays:
        yield _relay(one, lost)
    if any(not one.https and classify(_place(one.url)) != "loopback" for one in facts.relays):
        yield Finding(
            "relay.plain_http",
            "note",
            "A relay is reached over plain http. What devices exchange is sealed all the same; who listens on the way "
            "sees which device keys talk, when, and how much.",
            "To hide that too, put a proxy with a public certificate in front of the relay.",
        )


def _relay(facts: RelayFacts, lost: Level) -> Finding:
    if facts.rtt_ms is not None:
        return Finding("relay.reached", "ok", f"The relay {facts.url} answers in {ms(facts.rtt_ms)}.")
    alone = " No relay answers, so only direct paths work." if lost == "problem" else " Others take over."
    return Finding(
        "relay.unreachable",
        lost,
        f"The relay {facts.url} does not answer.{alone}",
        "Check that it runs (`mesh serve` starts one beside itself) and that its TCP port is open from here.",
    )


def _udp(facts: NetworkFacts) -> Iterator[Finding]:
    if facts.agent is None or facts.relays is None:
        return
    if not facts.agent.direct:
        yield Finding(
            "udp.off",
            "note",
            "The agent was started with --no-direct: every path is relayed.",
            "To allow direct paths, start it without that option.",
        )
        return
    sights = sights_of(facts)
    if sights:
        yield Finding("udp.open", "ok", "UDP gets through: direct paths to other devices are possible.")
        yield from _nat(nat_of(sights, facts.local_ips))
        yield from _address(sights)
        return
    asked = [one for one in facts.relays if one.observer and one.rtt_ms is not None]
    if asked:
        yield Finding(
            "udp.closed",
            "warning",
            "The relay answers over TCP, but nothing comes back over UDP: all paths will be relayed, which is slower.",
            "Allow outgoing UDP in the firewall here, and the relay's UDP port there.",
        )
    else:
        yield Finding(
            "udp.unknown",
            "note",
            "No observer could be asked, so whether UDP gets through is not known.",
            "Ask again when a relay answers.",
        )


def _nat(nat: Nat) -> Iterator[Finding]:
    if nat == "none":
        yield Finding("nat.none", "ok", "No router changes this device's address: others can reach it directly.")
    elif nat == "near":
        yield Finding(
            "nat.near",
            "note",
            "The relay is in this machine's own network, so what a router does towards the internet cannot be told.",
            "It matters only for devices elsewhere: they need a relay that both can reach.",
        )
    elif nat == "one_observer":
        yield Finding(
            "nat.one_observer",
            "note",
            "A router translates this device's address. Of which kind it is, one relay alone cannot tell.",
            "With a second relay on another host this can be told (`mesh relay --join LINK`). `mesh ping DEVICE` "
            "shows which path a pair has.",
        )
    elif nat == "same_for_all":
        yield Finding(
            "nat.same_for_all",
            "ok",
            "Your router keeps one port for all destinations: direct paths to most other devices will work.",
        )
    elif nat == "by_destination":
        yield Finding(
            "nat.by_destination",
            "warning",
            "Your router maps ports per destination, so some pairs will be relayed.",
            "It works, only slower. Where the router can do it, give this machine a public or IPv6 address.",
        )


def _address(sights: list[Sight]) -> Iterator[Finding]:
    classes = {classify(sight.address) for sight in sights}
    if "public" in classes:
        yield Finding("address.public", "ok", "The world sees this device under a public address.")
    elif "shared" in classes:
        yield Finding(
            "address.shared",
            "note",
            "Your provider shares one address among customers, so no port can be opened to this machine.",
            "Nothing to do for a device. A coordinator or relay needs a public host.",
        )
    elif "private" in classes:
        yield Finding("address.private", "note", "Relays see this device under an address of a private network.")


def _place(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]

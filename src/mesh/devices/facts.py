"""What a check of a device measured, before anybody judges it.

Facts stay on the device and with its owner: they hold addresses and URLs. ``report`` says what of them may be shown to
strangers, ``findings`` what they mean.

Touches: nothing.
"""

from typing import Literal

import msgspec

from mesh.protocol.values import Isolation

AddressClass = Literal["loopback", "private", "shared", "public", "name"]
"""Where an address counts: this machine, its own network, behind its provider's address translation (100.64.0.0/10),
the whole world; ``name``: a host name that was not resolved."""
ReachFailure = Literal["unreachable", "wrong_certificate", "untrusted", "other_key", "odd_answer"]
FilesState = Literal["good", "missing", "damaged", "unread"]
EngineState = Literal["warm", "started", "failed", "untried"]
GatewayState = Literal["none", "answers", "silent", "free", "taken"]


class Fact(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of everything here: immutable, compared by content."""


class Knock(Fact, frozen=True):
    """One address behind the coordinator's URL: how long a TCP connection took (milliseconds; None: no answer)."""

    address: str
    connect_ms: float | None = None


class CoordinatorFacts(Fact, frozen=True):
    """What knocking at the coordinator showed.

    ``clock_offset_s``: this machine's clock minus the coordinator's. ``rtt_ms``: one request over an open connection.
    """

    url: str
    place: AddressClass
    https: bool
    pinned: bool
    knocks: tuple[Knock, ...] = ()
    failure: ReachFailure | None = None
    rtt_ms: float | None = None
    clock_offset_s: float | None = None
    version: str | None = None


class RelayFacts(Fact, frozen=True):
    """What asking a relay showed. ``heard``: the ``ip:port`` under which its observer sees this device."""

    url: str
    https: bool
    rtt_ms: float | None = None
    observer: str | None = None
    """Its observer's UDP ``host:port``; None where it has none."""
    heard: str | None = None


class AgentFacts(Fact, frozen=True):
    """What only the running agent knows. ``direct`` off: it was told to take no direct paths."""

    link_up: bool
    link_code: str = ""
    """Why the link went down last."""
    direct: bool = True


class CertificateFacts(Fact, frozen=True):
    """This device's certificate; all milliseconds since 1970 by the coordinator's clock, as well as it is known."""

    issued_ms: int
    expires_ms: int
    now_ms: int


class NetworkFacts(Fact, frozen=True):
    """All that a check of the network measured. None: it could not be known."""

    software: str
    joined: bool = False
    """This home is a device of a network."""
    coordinator: CoordinatorFacts | None = None
    relays: tuple[RelayFacts, ...] | None = None
    agent: AgentFacts | None = None
    certificate: CertificateFacts | None = None
    agent_broken: bool = False
    """An agent runs, but did not answer as it should."""
    local_ips: tuple[str, ...] = ()
    """The IP addresses of this machine's own interfaces."""


class ModelFacts(Fact, frozen=True):
    """One model of the catalogue on this device, and whether its engine runs. ``code``: why it does not."""

    workload: str
    model: str
    size_bytes: int
    files: FilesState
    engine: EngineState = "untried"
    isolation: Isolation | None = None
    code: str = ""
    own: bool = False
    """Its owner added it: it is fetched when the owner says so, and its name is the owner's affair."""


class Exposed(Fact, frozen=True):
    """A file or folder of the home that others may use: its name in the home, its mode, the mode that it should have.

    ``foreign``: it belongs to another user of this machine.
    """

    name: str
    mode: int
    wanted: int
    foreign: bool = False


class MachineFacts(Fact, frozen=True):
    """All that a check of the machine measured. Sizes in bytes."""

    system: str
    arch: str
    python: str
    cores: int
    memory_bytes: int
    memory_free_bytes: int
    disk_free_bytes: int
    home: str
    home_made: bool = True
    home_readable: bool = True
    permissions: Literal["checked", "unchecked"] = "checked"
    exposed: tuple[Exposed, ...] = ()
    models: tuple[ModelFacts, ...] = ()
    wrong_models: tuple[str, ...] = ()
    """What is wrong in the catalogue of its owner, each with line, model and field."""
    set_aside: int = 0
    """Reports that the coordinator refused for good, as the running agent says."""
    gateway: GatewayState = "none"
    gateway_port: int = 0
    gateway_owner: str = ""
    """The program that holds the port instead, as far as it may be known."""

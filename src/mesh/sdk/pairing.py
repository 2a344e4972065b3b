"""Joining by a code: a machine that knows only the coordinator's address asks, shows a code, and waits for a yes.

The certificate that it meets is pinned from the first connection on, on trust; the code says whether the trust was
right. Half of it is computed from that certificate and both keys, so that it fits only if the coordinator to which the
member speaks is the very one to which this machine speaks (``networks.pairing``).

Touches: sockets (through the client), randomness.
"""

import ipaddress
import secrets
from typing import NamedTuple
from urllib.parse import urlsplit

from mesh.errors import MeshError
from mesh.ids import DeviceKey
from mesh.networks import pairing as rules
from mesh.networks.codes import commitment
from mesh.networks.pairing import Sides
from mesh.protocol import signed
from mesh.protocol.links import MORE_MAX, SECRET_BYTES, JoinLink, new_secret, secret_hash
from mesh.protocol.papers import JoinProof
from mesh.sdk import calls
from mesh.sdk.answers import PairingState
from mesh.sdk.client import TIMEOUT_S, Coordinator, CoordinatorUnreachable
from mesh.sdk.home import CoordinatorRecord
from mesh.sdk.pinning import WrongCertificate, first_seen


class BadAddress(MeshError):
    """A coordinator's address looks like https://192.168.1.5:8400. `mesh status` on a device shows it; plain http is
    for this machine alone.
    """

    code = "pairing.bad_address"
    kind = "invalid"


class Waiting(NamedTuple):
    """A machine that waits: at which coordinator, by which code, until when by the coordinator's clock (ms).

    ``secret`` and ``nonce`` are secrets of this machine.
    """

    where: CoordinatorRecord
    name: str
    secret: str
    nonce: str
    pairing: str
    code: str
    fingerprint: str
    asked_ms: int
    expires_ms: int

    @property
    def life_s(self) -> float:
        """How long the code works, from when it was made."""
        return (self.expires_ms - self.asked_ms) / 1000


def coordinator_url(text: str) -> str:
    """A coordinator's address as a person types it, with https where no scheme is said. Raises BadAddress."""
    typed = text.strip().lower()
    url = (typed if "://" in typed else f"https://{typed}").removesuffix("/")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadAddress from error
    plain = parts.scheme == "http" and _is_loopback(parts.hostname)
    if not (parts.scheme == "https" or plain) or not parts.hostname or parts.path or parts.query or parts.fragment:
        raise BadAddress
    if parts.username is not None or (port is None and ":" in parts.netloc.rpartition("]")[2]):
        raise BadAddress
    return f"{parts.scheme}://{parts.netloc}"


def ask(url: str, name: str, seed: bytes, machine: str) -> Waiting:
    """Ask for a code for the key of ``seed``; ``machine`` says in a few words what this is.

    Raises BadAddress, WrongCertificate, CoordinatorUnreachable, and what the coordinator refuses with.
    """
    try:
        seen = first_seen(url, TIMEOUT_S)
    except OSError as error:
        raise CoordinatorUnreachable(
            f"The coordinator at {url} does not answer ({type(error).__name__}). "
            "Check the address, that it runs, and that this machine reaches it.",
            url=url,
        ) from error
    key, secret, nonce = signed.public_key(seed), new_secret(secrets.token_bytes(SECRET_BYTES)), secrets.token_hex(32)
    with Coordinator(CoordinatorRecord(url, DeviceKey(""), seen)) as client:
        about = client.do(calls.about())
        coordinator = DeviceKey(about.key)
        signed.parse_key(coordinator)
        body = _body(JoinProof(
            network="",
            key=key,
            coordinator=coordinator,
            secret_sha256=secret_hash(secret),
            name=name,
            time_ms=about.time_ms,
        ), seed, machine, nonce)  # fmt: skip
        asked = client.do(calls.ask_to_pair(body))
        where = confirmed_place(url, seen, coordinator, (asked.url, asked.tls_sha256, asked.more))
        client.do(calls.pairing_state(asked.pairing, nonce))  # shows our number: only now the code counts
    sides = Sides(key, coordinator, where.tls_sha256 or where.url, name, secret_hash(secret))
    check = rules.check(sides, handle=asked.handle, coordinator_nonce=asked.nonce, nonce=nonce)
    code = rules.shown_code(asked.handle, check)
    times = (asked.time_ms, asked.expires_ms)
    return Waiting(where, name, secret, nonce, asked.pairing, code, rules.fingerprint(key), *times)


def look(waiting: Waiting) -> PairingState:
    """What became of it. Raises why it has ended without a yes, and CoordinatorUnreachable."""
    with Coordinator(waiting.where) as client:
        return client.do(calls.pairing_state(waiting.pairing, waiting.nonce))


def withdraw(waiting: Waiting) -> None:
    """Stop waiting: the code is worth nothing from now on."""
    with Coordinator(waiting.where) as client:
        client.do(calls.withdraw_pairing(waiting.pairing, waiting.nonce))


def link(waiting: Waiting, confirmed: PairingState) -> JoinLink:
    """The join link that a yes made: it never left this machine."""
    where = waiting.where
    return JoinLink(where.url, waiting.secret, where.key, where.tls_sha256, confirmed.network_key, where.more)


def _body(proof: JoinProof, seed: bytes, machine: str, nonce: str) -> dict[str, str]:
    return {
        "name": proof.name,
        "key": proof.key,
        "machine": machine[: rules.MACHINE_LENGTH_MAX],
        "secret_sha256": proof.secret_sha256,
        "commitment": commitment(proof.key, nonce),
        "proof": signed.sign(proof, seed),
    }


def confirmed_place(
    url: str, seen: str | None, key: DeviceKey, said: tuple[str, str | None, tuple[str, ...]]
) -> CoordinatorRecord:
    """The coordinator as we met it. What it says of itself must be that: else the link could not stand later either.

    ``said``: its URL, its certificate's hash, its further addresses. Raises WrongCertificate, BadAddress.
    """
    its_url, its_certificate, more = said
    if its_certificate != seen:
        raise WrongCertificate(
            "The certificate at this address is not the coordinator's own. Check the address; if it is right, somebody "
            "may sit in between: join by a link instead."
        )
    if seen is not None:
        others = tuple(each for each in (its_url, *more) if each != url)
        return CoordinatorRecord(url, key, seen, others[:MORE_MAX])
    if its_url != url and not (_is_loopback(urlsplit(url).hostname) and _is_loopback(urlsplit(its_url).hostname)):
        raise BadAddress(f"This coordinator is to be reached at {its_url}. Use that address.", url=its_url)
    return CoordinatorRecord(its_url, key)


def _is_loopback(host: str | None) -> bool:
    if host is None or host == "localhost":
        return host is not None
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

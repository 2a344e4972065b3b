"""Every call of the coordinator's HTTP API as a value: method, path, body, and the type of its answer.

Both clients (sync and async) send the same values, so that a call is written once.

Touches: nothing.
"""

from typing import Any, Generic, Literal, TypeVar

import msgspec

from mesh.ids import DeviceId, DeviceKey, JobId, MemberId, NetworkId, TokenId
from mesh.protocol.values import Role
from mesh.sdk import answers, join_links, page, policies, ways_in
from mesh.sdk import applicants as people

T = TypeVar("T")
Purpose = Literal["member", "device", "relay"]


class Call(msgspec.Struct, Generic[T], frozen=True):
    """One request. ``body`` None sends none; ``changes`` calls carry an idempotency key."""

    method: str
    path: str
    answer: type[T]
    body: dict[str, Any] | None = None
    query: dict[str, Any] | None = None

    @property
    def changes(self) -> bool:
        """Whether this call changes something at the coordinator."""
        return self.method != "GET"


class TokenTerms(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a join link allows: for whom, how often, how long (seconds), and whether an admin must still approve.

    Devices that come by it have its ``tags``; ``ephemeral`` ones are removed by themselves after half an hour offline.
    ``address``: the e-mail address of the one person who may use it; None: whoever has the link.
    """

    purpose: Purpose
    uses: int = 1
    expires_s: float = 86400.0
    approve: bool = False
    role: Role | None = None
    name: str | None = None
    tags: tuple[str, ...] = ()
    ephemeral: bool = False
    address: str | None = None


def _network(network: NetworkId, *rest: str) -> str:
    return "/".join(("/v1/networks", network, *rest))


def _page(limit: int, cursor: str | None) -> dict[str, str]:
    return {"limit": str(limit), **({"cursor": cursor} if cursor else {})}


def about() -> Call[answers.About]:
    """Which coordinator this is."""
    return Call("GET", "/v1/about", answers.About)


def claim(secret: str, name: str, label: str | None = None) -> Call[answers.Claimed]:
    """Use a claim link or a member invite: sign in as a new person called ``name``, on a machine called ``label``."""
    body = {"secret": secret, "name": name, **({"label": label[:63]} if label else {})}
    return Call("POST", "/v1/claim", answers.Claimed, body)


def accept(secret: str) -> Call[answers.Network]:
    """Come into a network by an invite, as who I am already."""
    return Call("POST", "/v1/me/networks", answers.Network, {"secret": secret})


def device_session(proof: str) -> Call[answers.DeviceSession]:
    """Sign in as a device, with a SignInProof signed by its key."""
    return Call("POST", "/v1/sessions/device", answers.DeviceSession, {"proof": proof})


def create_network(name: str) -> Call[answers.Made]:
    """Make a network; the caller becomes its admin."""
    return Call("POST", "/v1/networks", answers.Made, {"name": name})


def rotate_network_key(network: NetworkId) -> Call[answers.Rotated]:
    """Replace a network's key (for its admins)."""
    return Call("POST", _network(network, "rotate-key"), answers.Rotated, {})


def rotate_coordinator_key() -> Call[answers.Rotated]:
    """Replace the coordinator's own key (for its operator)."""
    return Call("POST", "/v1/rotate-key", answers.Rotated, {})


def balances(network: NetworkId) -> Call[page.Accounts]:
    """Every account of a network."""
    return Call("GET", _network(network, "balances"), page.Accounts)


def networks() -> Call[answers.Networks]:
    """The networks that I am in."""
    return Call("GET", "/v1/networks", answers.Networks)


def mint(network: NetworkId, terms: TokenTerms) -> Call[join_links.Minted]:
    """Make a join link."""
    body = {"uses": terms.uses, "expires_s": terms.expires_s, "approve": terms.approve, "purpose": terms.purpose}
    extra: dict[str, Any] = {
        key: value
        for key, value in {"role": terms.role, "name": terms.name, "address": terms.address}.items()
        if value is not None
    }
    if terms.tags or terms.ephemeral:  # older coordinators know neither
        extra |= {"tags": list(terms.tags), "ephemeral": terms.ephemeral}
    return Call("POST", _network(network, "tokens"), join_links.Minted, {**body, **extra})


def tokens(network: NetworkId) -> Call[join_links.Tokens]:
    """The join links of a network."""
    return Call("GET", _network(network, "tokens"), join_links.Tokens)


def withdraw(network: NetworkId, token: TokenId) -> Call[answers.Done]:
    """Revoke a join link."""
    return Call("DELETE", _network(network, "tokens", token), answers.Done)


def ask_to_pair(body: dict[str, Any]) -> Call[answers.PairingAsked]:
    """A machine asks to join by a code."""
    return Call("POST", "/v1/pairings", answers.PairingAsked, body)


def pairing_state(pairing: str, nonce: str) -> Call[answers.PairingState]:
    """What became of a machine's request; only that machine can ask."""
    return Call("POST", f"/v1/pairings/{pairing}/state", answers.PairingState, {"nonce": nonce})


def withdraw_pairing(pairing: str, nonce: str) -> Call[answers.Done]:
    """A machine stops waiting."""
    return Call("POST", f"/v1/pairings/{pairing}/withdraw", answers.Done, {"nonce": nonce})


def look_at_pairing(network: NetworkId, code: str) -> Call[answers.PairingShown]:
    """Which machine shows a code."""
    return Call("POST", _network(network, "pairings", "look"), answers.PairingShown, {"code": code})


def confirm_pairing(
    network: NetworkId, code: str, key: DeviceKey, terms: TokenTerms, *, elsewhere: bool = False
) -> Call[answers.PairingConfirmed]:
    """Let the machine with this code and key in; of the terms those count that a device has."""
    body = {"code": code, "key": key, "elsewhere": elsewhere, "approve": terms.approve}
    extra = {"tags": list(terms.tags), "ephemeral": terms.ephemeral}
    return Call("POST", _network(network, "pairings", "confirm"), answers.PairingConfirmed, {**body, **extra})


def refuse_pairing(network: NetworkId, code: str) -> Call[answers.Done]:
    """Say no to the machine with this code."""
    return Call("POST", _network(network, "pairings", "refuse"), answers.Done, {"code": code})


def ask_to_log_in(body: dict[str, Any]) -> Call[ways_in.LoginAsked]:
    """A command line asks to be signed in by a code."""
    return Call("POST", "/v1/logins", ways_in.LoginAsked, body)


def login_state(login: str, nonce: str) -> Call[ways_in.LoginState]:
    """What became of a command line's request; only it can ask."""
    return Call("POST", f"/v1/logins/{login}/state", ways_in.LoginState, {"nonce": nonce})


def withdraw_login(login: str, nonce: str) -> Call[answers.Done]:
    """A command line stops waiting."""
    return Call("POST", f"/v1/logins/{login}/withdraw", answers.Done, {"nonce": nonce})


def look_at_login(code: str) -> Call[ways_in.LoginShown]:
    """Which command line shows a code."""
    return Call("POST", "/v1/logins/look", ways_in.LoginShown, {"code": code})


def confirm_login(code: str, secret_sha256: str, *, elsewhere: bool = False) -> Call[answers.Done]:
    """Sign the command line with this code in."""
    body = {"code": code, "secret_sha256": secret_sha256, "elsewhere": elsewhere}
    return Call("POST", "/v1/logins/confirm", answers.Done, body)


def refuse_login(code: str) -> Call[answers.Done]:
    """Say no to the command line with this code."""
    return Call("POST", "/v1/logins/refuse", answers.Done, {"code": code})


def devices(network: NetworkId) -> Call[answers.Devices]:
    """The devices of a network."""
    return Call("GET", _network(network, "devices"), answers.Devices)


def remove_device(network: NetworkId, device: DeviceId) -> Call[answers.Done]:
    """Remove a device: it is cut off at once."""
    return Call("DELETE", _network(network, "devices", device), answers.Done)


def approve_device(network: NetworkId, device: DeviceId) -> Call[answers.Done]:
    """Let a pending device in."""
    return Call("POST", _network(network, "devices", device, "approve"), answers.Done, {})


def rename_device(network: NetworkId, device: DeviceId, name: str) -> Call[answers.Done]:
    """Call a device something else: one's own, or any as an admin."""
    return Call("PUT", _network(network, "devices", device, "name"), answers.Done, {"name": name})


def steer_device(network: NetworkId, device: DeviceId, state: str) -> Call[answers.Done]:
    """Pause (``paused``), drain (``draining``) or resume (``ready``) a device: one's own, or any as an admin."""
    return Call("POST", _network(network, "devices", device, "state"), answers.Done, {"state": state})


def members(network: NetworkId) -> Call[answers.Members]:
    """The people of a network."""
    return Call("GET", _network(network, "members"), answers.Members)


def change_role(network: NetworkId, member: MemberId, role: Role) -> Call[answers.Done]:
    """Give a person another role (for admins)."""
    return Call("PUT", _network(network, "members", member), answers.Done, {"role": role})


def remove_member(network: NetworkId, member: MemberId) -> Call[answers.Done]:
    """Let a person go with all their devices, or leave oneself."""
    return Call("DELETE", _network(network, "members", member), answers.Done)


def applicants(network: NetworkId) -> Call[people.Applicants]:
    """Who waits to be let in (for admins)."""
    return Call("GET", _network(network, "applicants"), people.Applicants)


def approve_applicant(network: NetworkId, member: MemberId) -> Call[people.Decided]:
    """Let somebody in who waits (for admins)."""
    return Call("POST", _network(network, "applicants", member, "approve"), people.Decided, {})


def refuse_applicant(network: NetworkId, member: MemberId, why: str = "") -> Call[people.Decided]:
    """Do not let somebody in who waits; ``why`` is told to them (for admins)."""
    return Call("POST", _network(network, "applicants", member, "refuse"), people.Decided, {"why": why})


def asked() -> Call[people.AskedNetworks]:
    """Where I wait for an admin, and what became of requests that led to nothing."""
    return Call("GET", "/v1/me/networks", people.AskedNetworks)


def withdraw_request(network: NetworkId) -> Call[answers.Done]:
    """I do not want to come into that network any more."""
    return Call("DELETE", f"/v1/me/networks/{network}", answers.Done)


def jobs(network: NetworkId, limit: int = 20, cursor: str | None = None) -> Call[answers.Jobs]:
    """Job records that I may see, newest first."""
    return Call("GET", _network(network, "jobs"), answers.Jobs, query=_page(limit, cursor))


def job(network: NetworkId, job: JobId) -> Call[answers.Job]:
    """One job's record."""
    return Call("GET", _network(network, "jobs", job), answers.Job)


def why(network: NetworkId, job: JobId) -> Call[dict[str, Any]]:
    """Why a job went where it went: gates, scores, chosen, attempts, what would have changed it."""
    return Call("GET", _network(network, "jobs", job, "why"), dict[str, Any])


def cancel(network: NetworkId, job: JobId) -> Call[answers.Done]:
    """Stop a job."""
    return Call("POST", _network(network, "jobs", job, "cancel"), answers.Done, {})


def balance(network: NetworkId) -> Call[answers.Balance]:
    """My credits."""
    return Call("GET", _network(network, "balance"), answers.Balance)


def ledger(
    network: NetworkId, limit: int = 50, cursor: str | None = None, narrowed: dict[str, Any] | None = None
) -> Call[answers.Ledger]:
    """Ledger lines that I may see, newest first."""
    return Call("GET", _network(network, "ledger"), answers.Ledger, query={**_page(limit, cursor), **(narrowed or {})})


def verify(network: NetworkId, number: int | None = None) -> Call[answers.Verified]:
    """Check the whole ledger: every hash, every posting, every balance. ``number``: of a head kept here."""
    query = None if number is None else {"number": str(number)}
    return Call("GET", _network(network, "ledger", "verify"), answers.Verified, query=query)


def export(network: NetworkId, filters: dict[str, Any]) -> Call[bytes]:
    """The ledger as a file, for ``Coordinator.pieces``: by ``format``, ``since_ms``, ``event`` and other filters."""
    return Call("GET", _network(network, "ledger", "export"), bytes, query=filters)


def settings(network: NetworkId) -> Call[answers.Settings]:
    """What a network is set to."""
    return Call("GET", _network(network, "settings"), answers.Settings)


def change_settings(network: NetworkId, changes: dict[str, Any]) -> Call[answers.Done]:
    """Change settings of a network (for its admins): ``credit_line``, ``weights``, ``permits_per_member``,
    ``approve_devices``, ``approve_people``.
    """
    return Call("PUT", _network(network, "settings"), answers.Done, changes)


def make_api_key(network: NetworkId, name: str, scopes: list[str], expires_s: float) -> Call[answers.MadeApiKey]:
    """Make an API key for programs."""
    body = {"name": name, "scopes": scopes, "expires_s": expires_s}
    return Call("POST", _network(network, "keys"), answers.MadeApiKey, body)


def api_keys(network: NetworkId) -> Call[answers.ApiKeys]:
    """My API keys; for admins everybody's."""
    return Call("GET", _network(network, "keys"), answers.ApiKeys)


def revoke_api_key(network: NetworkId, key: str) -> Call[answers.Done]:
    """An API key works no more."""
    return Call("DELETE", _network(network, "keys", key), answers.Done)


def sessions() -> Call[answers.Sessions]:
    """Where I am signed in."""
    return Call("GET", "/v1/sessions", answers.Sessions)


def sign_in_link() -> Call[answers.SignInLink]:
    """A link that signs me in elsewhere, once."""
    return Call("POST", "/v1/sessions/link", answers.SignInLink, {})


def end_session(session: str) -> Call[answers.Done]:
    """Sign out one of my sessions."""
    return Call("DELETE", f"/v1/sessions/{session}", answers.Done)


def policy(network: NetworkId, version: int | None = None) -> Call[policies.PolicyText]:
    """The policy that holds, or an earlier version of it."""
    query = None if version is None else {"version": str(version)}
    return Call("GET", _network(network, "policy"), policies.PolicyText, query=query)


def policy_versions(network: NetworkId) -> Call[policies.PolicyVersions]:
    """The versions of a policy that were saved."""
    return Call("GET", _network(network, "policy", "versions"), policies.PolicyVersions)


def save_policy(network: NetworkId, text: str, base: int, note: str = "") -> Call[policies.PolicySaved]:
    """Save a policy that was made from version ``base`` (for admins)."""
    body = {"text": text, "base_version": base, "note": note}
    return Call("PUT", _network(network, "policy"), policies.PolicySaved, body)


def try_policy(network: NetworkId, text: str | None = None) -> Call[policies.PolicyTried]:
    """Run the tests of a draft (None: of what holds) and see what it would change (for admins)."""
    return Call(
        "POST", _network(network, "policy", "try"), policies.PolicyTried, {} if text is None else {"text": text}
    )


def policy_why(network: NetworkId, asked: dict[str, str]) -> Call[policies.PolicyWhy]:
    """What the policy says of a request: member, workload, model, sensitivity, device, named, at; all optional."""
    return Call("GET", _network(network, "policy", "why"), policies.PolicyWhy, query=asked)

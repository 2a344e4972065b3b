"""Join links: make, list, withdraw. One kind of token for people, devices and relays.

Touches: database (through the desk).
"""

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from mesh.coordinator.acts import tokens as acts
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.acts.tokens import Terms
from mesh.coordinator.http.access import NotOperator, caller_of, needs
from mesh.coordinator.http.desk import Desk, answer, desk_of
from mesh.coordinator.http.mail import BadAddress, letters_of
from mesh.coordinator.http.paging import PAGE_MAX, Cursor, Limit, page
from mesh.coordinator.signing_in.mail import Invited
from mesh.coordinator.store import tokens
from mesh.coordinator.store.connection import Store
from mesh.errors import MeshError
from mesh.ids import NetworkId, TokenId
from mesh.networks.tokens import LIFE_S_DEFAULT, JoinToken
from mesh.networks.ways_in import mail_address
from mesh.protocol.links import secret_hash
from mesh.protocol.values import Role
from mesh.sdk.answers import Done
from mesh.sdk.join_links import Minted, Token, Tokens

router = APIRouter()


class TokenBody(BaseModel):
    """What a new link allows."""

    purpose: Literal["member", "device", "relay"]
    role: Role = "member"
    name: str = Field(default="", max_length=200)
    uses: int = 1
    expires_s: float = LIFE_S_DEFAULT
    approve: bool = False
    tags: list[str] = Field(default_factory=list, max_length=64)
    ephemeral: bool = False
    address: str | None = Field(default=None, max_length=254)


class NoProofHere(MeshError):
    """Nobody could show here that an e-mail address is theirs. Start the coordinator with a mail server (--smtp-url) or
    a provider (--oidc-issuer), or make an invite for nobody's address.
    """

    code = "token.no_proof_here"
    kind = "conflict"


@router.post("/v1/networks/{network}/tokens", dependencies=[needs("devices.invite")])
async def mint(network: str, body: TokenBody, request: Request) -> Response:
    """Make a link. Devices become their maker's; people are for admins to invite, relays for the operator."""
    desk, caller = desk_of(request), caller_of(request)
    if body.purpose == "member":
        caller.need("members.invite")
    if body.purpose == "relay" and not caller.operator:
        raise NotOperator  # a relay serves every network of the installation
    link = desk.parts.new_link(None if body.purpose == "relay" else NetworkId(network))
    address = _address(desk, body)
    mailed = bool(address) and desk.mailer.on and (body.purpose, body.uses) == ("member", 1)
    terms = Terms(
        body.purpose,
        body.role,
        body.name,
        body.uses,
        body.expires_s,
        body.approve or (caller.limited and caller.role == "admin"),  # approval is an admin's act
        tuple(body.tags),
        body.ephemeral,
        address,
        mailed,
    )
    if mailed:
        letters_of(request).invite(address, caller.member, desk.parts.now_ms())

    def act(store: Store, moment: Moment) -> tuple[Minted, JoinToken]:
        token = acts.make(
            store,
            terms,
            network=NetworkId(network),
            maker=caller.member,
            secret_hash=secret_hash(link.secret),
            moment=moment,
        )
        return Minted(token.id, link.text(), token.letter), token

    response, token = await desk.act(request, act)
    if token is not None and mailed:
        known = desk.parts.snapshot.networks[NetworkId(network)]
        await desk.mailer.invite(Invited(token.id, address, caller.name, known.name, link.text(), token.expires_ms))
    return response


def _address(desk: Desk, body: TokenBody) -> str:
    """The address that an invite is for; "" for none. Raises BadAddress, NoProofHere."""
    if body.address is None:
        return ""
    address = mail_address(body.address)
    if address is None:
        raise BadAddress
    if not (desk.mailer.on or "oidc" in desk.ways.providers):
        raise NoProofHere
    return address


@router.get("/v1/networks/{network}/tokens", dependencies=[needs("devices.invite")])
async def listing(network: str, request: Request, limit: Limit = PAGE_MAX, cursor: Cursor = None) -> Response:
    """The links of a network, newest first; members see their own."""
    desk, caller = desk_of(request), caller_of(request)
    everything = caller.may("members.invite")
    known = await desk.parts.database.read(tokens.of_network, NetworkId(network))
    now_ms = desk.parts.now_ms()
    shown = [_shown(token, now_ms) for token in known if everything or token.maker == caller.member]
    return answer(Tokens(*page(shown, lambda one: one.token_id, limit=limit, cursor=cursor)))


@router.delete("/v1/networks/{network}/tokens/{token}", dependencies=[needs("devices.invite")])
async def withdraw(network: str, token: str, request: Request) -> Response:
    """Withdraw a link: one's own, or any as an admin."""
    desk, caller = desk_of(request), caller_of(request)

    def act(store: Store, moment: Moment) -> tuple[Done, None]:
        mine = any(
            known.id == token and known.maker == caller.member for known in tokens.of_network(store, NetworkId(network))
        )
        if not mine:
            caller.need("members.invite")
        acts.withdraw(store, NetworkId(network), TokenId(token), moment)
        return Done(), None

    response, _ = await desk.act(request, act)
    return response


def _shown(token: JoinToken, now_ms: int) -> Token:
    state = "open"
    if token.revoked:
        state = "revoked"
    elif token.uses >= token.uses_max:
        state = "used"
    elif now_ms >= token.expires_ms:
        state = "expired"
    return Token(
        token.id,
        token.purpose,
        state,
        token.uses_max,
        token.uses,
        token.expires_ms,
        token.name,
        token.tags,
        token.leaves_after_s is not None,
        token.address,
        token.letter,
    )

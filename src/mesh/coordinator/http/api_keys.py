"""API keys: made once with scopes, listed without their secret, revoked.

Touches: database (through the desk).
"""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from mesh.coordinator.acts import api_keys as acts
from mesh.coordinator.acts.api_keys import Terms
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.http.access import API_KEY_PREFIX, caller_of, needs
from mesh.coordinator.http.desk import answer, desk_of
from mesh.coordinator.http.paging import PAGE_MAX, Cursor, Limit, page
from mesh.coordinator.store.connection import Store
from mesh.ids import NetworkId
from mesh.networks import api_keys as rules
from mesh.networks.api_keys import LIFE_S_DEFAULT, ApiKey
from mesh.sdk.answers import ApiKeys, ApiKeyShown, Done, MadeApiKey

router = APIRouter()


class KeyBody(BaseModel):
    """A new key: its name, its scopes (permissions, or ``read``), and for how many seconds it works."""

    name: str = Field(min_length=1, max_length=63)
    scopes: list[str] = Field(min_length=1, max_length=64)
    expires_s: float = LIFE_S_DEFAULT


@router.post("/v1/networks/{network}/keys", dependencies=[needs("keys.own")])
async def make(network: str, body: KeyBody, request: Request) -> Response:
    """Make an API key for programs: it may do what its scopes name and its maker's role allows, in this network."""
    desk, caller = desk_of(request), caller_of(request)
    caller.need_in_person()
    token, kept = desk.new_token(API_KEY_PREFIX)
    terms = Terms(body.name, body.scopes, body.expires_s)

    def act(store: Store, moment: Moment) -> tuple[MadeApiKey, None]:
        key = acts.make(store, terms, network=NetworkId(network), member=caller.member, token_hash=kept, moment=moment)
        return MadeApiKey(key.id, token, key.name, key.scopes, key.expires_ms), None

    response, _ = await desk.act(request, act)
    return response


@router.get("/v1/networks/{network}/keys", dependencies=[needs("keys.own")])
async def listing(network: str, request: Request, limit: Limit = PAGE_MAX, cursor: Cursor = None) -> Response:
    """The API keys that were not revoked, newest first: one's own, for admins everybody's."""
    desk, caller = desk_of(request), caller_of(request)
    whose = None if caller.may("keys.revoke_any") else caller.member
    found = await desk.parts.database.read(acts.of, NetworkId(network), whose)
    now_ms = desk.parts.now_ms()
    shown = [_shown(key, now_ms) for key in found]
    return answer(ApiKeys(*page(shown, lambda one: one.key_id, limit=limit, cursor=cursor)))


@router.delete("/v1/networks/{network}/keys/{key}", dependencies=[needs("keys.own")])
async def revoke(network: str, key: str, request: Request) -> Response:
    """Revoke an API key: one's own, or anybody's as an admin. It works no more from now on."""
    desk, caller = desk_of(request), caller_of(request)

    def act(store: Store, moment: Moment) -> tuple[Done, None]:
        acts.revoke(store, NetworkId(network), key, by=caller.member, moment=moment)
        return Done(), None

    response, _ = await desk.act(request, act)
    return response


def _shown(key: ApiKey, now_ms: int) -> ApiKeyShown:
    state = "open" if rules.works(key, now_ms) else "expired"
    return ApiKeyShown(key.id, key.name, key.member, key.scopes, state, key.created_ms, key.expires_ms, key.used_ms)

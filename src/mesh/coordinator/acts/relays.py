"""A relay joins the installation by its link: it gets an id, and devices of all networks may use it.

Touches: database (through the store it is given).
"""

from mesh.coordinator.acts.join import Asked
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import networks, relays, tokens
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.networks import Network
from mesh.coordinator.store.relays import Relay
from mesh.ids import DeviceId
from mesh.networks.names import machine_name
from mesh.networks.tokens import redeem


def join(store: Store, asked: Asked, moment: Moment) -> Relay:
    """Take a relay in; the same relay again gets the same answer. Raises BadName and what ``redeem`` raises."""
    token = tokens.by_secret(store, asked.secret_hash)
    here = relays.of_key(store, asked.key)
    if here is not None and token is not None and here.token == token.id:
        return here
    used = redeem(token, purpose="relay", now_ms=moment.now_ms)
    name = machine_name(asked.name or used.name)
    tokens.use(store, used.id, now_ms=moment.now_ms)
    relay = here or Relay(DeviceId(moment.new_id()), asked.key, name, "", used.id)
    if here is None:
        relays.add(store, relay, now_ms=moment.now_ms)
    return relay


def moved(store: Store, relay: DeviceId, url: str) -> None:
    """A relay said where it is reached."""
    relays.set_url(store, relay, url)


def new_epochs(store: Store) -> list[Network]:
    """The relays changed, and with them every network's State."""
    for network in networks.every(store):
        networks.next_epoch(store, network.id)
    return networks.every(store)

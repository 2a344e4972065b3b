"""Sign-ins end where their person says so; and a device signs in for its owner, to read what the owner may see.

Touches: database (through the store it is given).
"""

from mesh.coordinator.acts.devices import DeviceUnknown
from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import devices, people
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.people import Session
from mesh.errors import MeshError
from mesh.ids import DeviceId, MemberId

DEVICE_SESSION_LIFE_S = 3600.0
"""An hour: the agent asks again by itself, and a removed device cannot."""


class SessionUnknown(MeshError):
    """You are not signed in there. `mesh auth sessions` lists where you are."""

    code = "auth.session_unknown"
    kind = "not_found"


def end(store: Store, member: MemberId, session_id: str, moment: Moment) -> None:
    """Sign a person out in one place. Raises SessionUnknown."""
    if not people.end_session(store, member, session_id, now_ms=moment.now_ms):
        raise SessionUnknown


def sign_in_device(store: Store, device: DeviceId, session_hash: str, moment: Moment) -> Session:
    """Open a read-only session; the caller has checked the device's signature. Raises DeviceUnknown."""
    kept = devices.get(store, device)
    if kept is None or kept.standing != "active":
        raise DeviceUnknown
    name = people.member_name(store, kept.owner)
    if name is None:
        raise DeviceUnknown
    expires_ms = moment.now_ms + int(DEVICE_SESSION_LIFE_S * 1000)
    session = Session(kept.owner, device, "device", expires_ms, name)
    people.add_session(store, session, session_id=moment.new_id(), token_hash=session_hash, now_ms=moment.now_ms)
    return session

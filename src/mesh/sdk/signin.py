"""A device signs in with its key, to read what its owner may see: no person is needed at that machine.

Touches: files of the home, sockets (through the client), randomness.
"""

import secrets

from mesh.protocol import signed
from mesh.protocol.papers import SignInProof
from mesh.sdk import calls
from mesh.sdk.client import Coordinator
from mesh.sdk.following import the_same
from mesh.sdk.home import Home, HomeUnreadable, NotJoined


def device_session(home: Home) -> str:
    """A session token for the device that this home is; it reads only. Raises NotJoined and what the client raises."""
    record, coordinator = home.read(), home.coordinator()
    if record.device is None:
        raise NotJoined
    try:
        seed = bytes.fromhex(home.device_key.read_text("ascii"))
    except (OSError, ValueError) as error:
        raise HomeUnreadable(f"{home.device_key} cannot be read. Restore it, or join the network anew.") from error
    with Coordinator(coordinator) as client:
        about = client.do(calls.about())
        proof = SignInProof(
            network=record.device.network,
            device=record.device.id,
            coordinator=the_same(coordinator.key, about),
            nonce=secrets.token_hex(16),
            time_ms=about.time_ms,  # the coordinator's clock: this machine's may be wrong
        )
        return client.do(calls.device_session(signed.sign(proof, seed))).token

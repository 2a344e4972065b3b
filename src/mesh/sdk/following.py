"""Whether the coordinator that answers is the one that is known here, though its key may have been replaced since.

Touches: nothing.
"""

from mesh.ids import DeviceKey
from mesh.protocol.succession import COORDINATOR, ChainBroken, follow
from mesh.sdk.answers import About
from mesh.sdk.pinning import WrongCertificate


def the_same(pinned: DeviceKey, about: About) -> DeviceKey:
    """The key of the coordinator that answers, if it is the pinned one or follows it. Raises WrongCertificate."""
    try:
        follow(pinned, about.successions, COORDINATOR, to=DeviceKey(about.key))
    except ChainBroken as error:
        raise WrongCertificate(
            "The coordinator there is not the one that is known here: its key is another, and does not follow that "
            "one's. Ask its admin for a new link."
        ) from error
    return DeviceKey(about.key)

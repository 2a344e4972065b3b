"""What an agent is reached through unless it is told otherwise.

Touches: what the transport touches.
"""

from collections.abc import Callable

from mesh.agent.identity import Identity
from mesh.agent.options import Options
from mesh.ids import DeviceKey
from mesh.transport.interface import Transport


async def open_iroh(me: Identity, admits: Callable[[DeviceKey], bool], options: Options) -> Transport:
    """The real transport: iroh, with this device's own calls kept in process."""
    from mesh.transport.iroh import IrohTransport
    from mesh.transport.iroh import Options as IrohOptions
    from mesh.transport.local import LocalTransport

    return LocalTransport(await IrohTransport.open(me.seed, IrohOptions(direct=options.direct), admits))

"""Errors of addresses, which routes and the application raise alike.

Touches: nothing.
"""

from mesh.errors import MeshError


class NoSuchAddress(MeshError):
    """There is nothing at this address, or it does not take this method. Check the client's version."""

    code = "request.no_such_address"
    kind = "not_found"

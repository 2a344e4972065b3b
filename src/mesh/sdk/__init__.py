"""Mesh for Python programs: ``Mesh`` and ``AsyncMesh``; beside them typed clients that the command line uses too.

    from mesh.sdk import AsyncMesh, Mesh

Touches: nothing (both are imported when they are first asked for: the command line starts without them).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mesh.sdk.asynchronous import AsyncMesh as AsyncMesh
    from mesh.sdk.mesh import Asked as Asked
    from mesh.sdk.mesh import Mesh as Mesh

__all__ = ["Asked", "AsyncMesh", "Mesh"]


def __getattr__(name: str) -> Any:
    if name in ("Asked", "Mesh"):
        from mesh.sdk import mesh

        return getattr(mesh, name)
    if name == "AsyncMesh":
        from mesh.sdk.asynchronous import AsyncMesh

        return AsyncMesh
    raise AttributeError(name)

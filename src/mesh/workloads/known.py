"""The workloads of this version, by name.

Touches: nothing.
"""

from mesh.errors import MeshError
from mesh.workloads.chat import Chat
from mesh.workloads.contract import Workload
from mesh.workloads.embeddings import Embeddings
from mesh.workloads.ocr import Ocr


class UnknownWorkload(MeshError):
    """There is no such kind of work in this version of Mesh. Check the name, or update this device."""

    code = "workload.unknown"
    kind = "not_found"


WORKLOADS: dict[str, Workload] = {"embeddings": Embeddings(), "ocr": Ocr(), "chat": Chat()}
"""What devices do for each other."""


def workload_named(name: str) -> Workload:
    """Find a workload. Raises UnknownWorkload."""
    try:
        return WORKLOADS[name]
    except KeyError:
        raise UnknownWorkload(workload=name) from None

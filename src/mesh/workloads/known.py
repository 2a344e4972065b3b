"""The workloads of this version, by name.

Touches: nothing.
"""

from mesh.errors import MeshError
from mesh.workloads.chat import Chat
from mesh.workloads.contract import Workload
from mesh.workloads.embeddings import Embeddings
from mesh.workloads.ocr import Ocr
from mesh.workloads.pages import Pages


class UnknownWorkload(MeshError):
    """There is no such kind of work in this version of Mesh. Check the name, or update this device."""

    code = "workload.unknown"
    kind = "not_found"


WORKLOADS: dict[str, Workload] = {"embeddings": Embeddings(), "ocr": Ocr(), "chat": Chat()}
"""What devices do for each other."""

MODULES: dict[str, tuple[str, ...]] = {
    "embeddings": ("numpy", "onnxruntime", "tokenizers"),
    "ocr": ("PIL", "tesserocr"),
    "chat": ("xllamacpp",),
    "pages": ("PIL", "pypdfium2"),
}
"""What a workload's engine imports: the extra of the workload's name brings it (``pages``: the extra ``ocr``)."""

_PREPARING: dict[str, Workload] = {"pages": Pages()}


def workload_named(name: str) -> Workload:
    """Find a workload. Raises UnknownWorkload."""
    try:
        return WORKLOADS[name]
    except KeyError:
        raise UnknownWorkload(workload=name) from None


def loadable(name: str) -> Workload:
    """What an engine's process may load: a workload, or a requester's own preparation. Raises UnknownWorkload."""
    return _PREPARING.get(name) or workload_named(name)

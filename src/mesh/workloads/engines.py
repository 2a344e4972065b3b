"""Which engine does a workload's work, and what it imports. An engine is loaded in its child process alone.

Touches: nothing (``load`` imports the engine, which imports its model library).
"""

import importlib.util

from mesh.workloads import processor
from mesh.workloads.contract import Engine, Model
from mesh.workloads.known import UnknownWorkload

MODULES: dict[str, tuple[str, ...]] = {
    "embeddings": ("numpy", "onnxruntime", "tokenizers"),
    "ocr": ("PIL", "tesserocr"),
    "chat": ("xllamacpp",),
    "pages": ("PIL", "pypdfium2"),
}
"""What a workload's engine imports: the extra of the workload's name brings it (``pages``: the extra ``ocr``)."""


def missing(workload: str) -> list[str]:
    """Modules that a workload's engine imports and that are not installed here."""
    return [module for module in MODULES[workload] if importlib.util.find_spec(module) is None]


def load(workload: str, model: Model) -> Engine:
    """Load an engine; only called in the child. Raises UnknownWorkload, ProcessorTooOld, and what the engine raises.

    ``pages`` is no workload that devices do for each other, but a requester's own preparation.
    """
    if workload == "embeddings":
        from mesh.workloads.embeddings_engine import OnnxEmbeddings

        return OnnxEmbeddings(model)
    if workload == "ocr":
        from mesh.workloads.ocr_engine import Tesseract

        return Tesseract(model)
    if workload == "chat":
        processor.check()
        from mesh.workloads.chat_engine import LlamaChat

        return LlamaChat(model)
    if workload == "pages":
        from mesh.workloads.pages_engine import Drawing

        return Drawing(model)
    raise UnknownWorkload(workload=workload)

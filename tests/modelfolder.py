"""Where tests keep real model files between runs: fetched once, shared by all of them.

Touches: the environment (MESH_TEST_MODELS), files.
"""

import os
from pathlib import Path

from mesh.workloads.files import ModelFiles


def shared_model_files() -> ModelFiles:
    """The folder that MESH_TEST_MODELS names, else ``.dev/models`` of the checkout."""
    folder = os.environ.get("MESH_TEST_MODELS") or Path(__file__).resolve().parents[1] / ".dev" / "models"
    return ModelFiles(Path(folder), os.environ)

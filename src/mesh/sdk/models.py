"""What the owner of a home decided about its models, and how the agent is told.

``models.json`` in the home is read by the command line and the agent alike, also while no agent runs.

Touches: files of the home.
"""

import msgspec

from mesh.sdk.home import Home, HomeUnreadable, write_secret
from mesh.sdk.lines import Request


class ModelChoice(msgspec.Struct, frozen=True, omit_defaults=True):
    """``removed``: models that are not fetched by themselves. ``disk_bytes``: what all may take; None: no limit."""

    removed: tuple[str, ...] = ()
    disk_bytes: int | None = None


class OfferModel(Request, frozen=True):
    """Load a model whose files are here, measure it, and offer it. Answered by ``Ok``."""

    workload: str
    model: str


class ForgetModel(Request, frozen=True):
    """Offer a model no more and unload it. Answered by ``Ok``."""

    workload: str
    model: str


AnyModelRequest = OfferModel | ForgetModel


def read_choice(home: Home) -> ModelChoice:
    """What was decided; nothing yet in a new home. Raises HomeUnreadable."""
    try:
        return msgspec.json.decode(home.models_file.read_bytes(), type=ModelChoice)
    except FileNotFoundError:
        return ModelChoice()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HomeUnreadable(f"{home.models_file} is damaged. Delete it; models are chosen anew.") from error


def write_choice(home: Home, choice: ModelChoice) -> None:
    """Keep what was decided."""
    write_secret(home.models_file, msgspec.json.encode(choice))

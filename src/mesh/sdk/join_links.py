"""What the coordinator answers about join links.

Touches: nothing.
"""

from mesh.ids import TokenId
from mesh.sdk.answers import Answer


class Minted(Answer, frozen=True):
    """A join link was made; its secret is shown this once. ``letter``: as in ``Token``."""

    token_id: TokenId
    link: str
    letter: str = ""


class Token(Answer, frozen=True):
    """A join link as its network lists it, without its secret. ``state``: open, used, expired or revoked.

    ``address``: of the one person who may use it. ``letter``: whether it was mailed there: waiting, sent, or failed
    (then whoever made it sends it themselves); "": it is not mailed.
    """

    token_id: TokenId
    purpose: str
    state: str
    uses: int
    used: int
    expires_ms: int
    name: str = ""
    tags: tuple[str, ...] = ()
    ephemeral: bool = False
    address: str = ""
    letter: str = ""


class Tokens(Answer, frozen=True):
    """The join links of a network."""

    tokens: tuple[Token, ...]
    cursor: str | None = None

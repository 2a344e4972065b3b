"""Kinds of column, and the one metadata object with its naming convention.

Ids are ULIDs of 26 characters, money whole micro-credits, times whole milliseconds since 1970 UTC (``_ms``).

Touches: database (describes its tables).
"""

from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Integer, MetaData, String
from sqlalchemy.dialects.postgresql import JSONB

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""Named constraints let one set of migrations alter them on both engines."""

ID = String(26)
KEY = String(64)
"""32 bytes as lower-case hex: a public key or a SHA-256."""
WORD = String(32)
"""A word from a closed list: a state, a role, a kind."""
NAME = String(63)
WHOLE = BigInteger().with_variant(Integer, "sqlite")
"""64-bit whole numbers; SQLite's own integer type is that already."""
DOCUMENT = JSON().with_variant(JSONB, "postgresql")


def time_ms(name: str, *, nullable: bool = False) -> Column[Any]:
    """A moment, in milliseconds since 1970 UTC by the coordinator's clock."""
    return Column(name, WHOLE, nullable=nullable)


def money(name: str, *, nullable: bool = False) -> Column[Any]:
    """An amount in micro-credits, 0 unless said otherwise."""
    return Column(name, WHOLE, nullable=nullable, server_default=None if nullable else "0")

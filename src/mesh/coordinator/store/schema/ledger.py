"""Tables of money: accounts, postings, entries, their sealed heads, tariffs; and what admins decided.

Touches: database (describes its tables).
"""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    TextClause,
    UniqueConstraint,
    text,
)

from mesh.coordinator.store.schema.columns import DOCUMENT, ID, KEY, METADATA, WHOLE, WORD, money, time_ms

USUAL = "settle"
"""The kind that most postings have; the index of kinds leaves it out."""
_RARE = text(f"kind <> '{USUAL}'")


def _known(column: str) -> TextClause:
    return text(f"{column} is not null")


accounts = Table(
    "accounts",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("network", ID, ForeignKey("networks.id"), nullable=False),
    Column("kind", WORD, nullable=False),
    Column("member", ID, nullable=False, server_default=text("''")),
    money("amount"),
    money("held"),
    CheckConstraint("kind in ('balance', 'pending', 'aside', 'issue', 'verification', 'burn')", name="kind"),
    CheckConstraint("held >= 0", name="held"),
    UniqueConstraint("network", "kind", "member"),
)
"""One row per network, kind and member ('' for the system's own).

``balance`` rows are exact: every act that posts to one also changes ``amount``, and ``held`` is what open shares still
hold. Rows of other kinds are rolled up: their amount is ``amount`` plus the entries not yet rolled into it, so that no
row is shared by all jobs of a network.
"""

postings = Table(
    "postings",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("network", ID, ForeignKey("networks.id"), nullable=False),
    Column("kind", WORD, nullable=False),
    Column("business", String(128), nullable=False),
    Column("payer", ID),
    Column("earner", ID),
    Column("requester", ID),
    Column("worker", ID),
    Column("job", ID),
    Column("attempt", Integer),
    Column("permit", ID),
    Column("tariff_version", Integer),
    Column("units", WHOLE),
    Column("price_micro", WHOLE),
    Column("price_per", Integer),
    Column("approver", ID),
    Column("receipt", KEY),
    Column("reason", String(200)),
    time_ms("posted_ms"),
    Column("sealed_number", WHOLE),
    Column("sealed_hash", KEY),
    UniqueConstraint("network", "business"),
    Index("ix_postings_network_id", "network", "id"),
    Index("ix_postings_job", "job"),
    Index(
        "ix_postings_unsealed",
        "network",
        "id",
        sqlite_where=text("sealed_number is null"),
        postgresql_where=text("sealed_number is null"),
    ),
    Index("uq_postings_sealed", "network", "sealed_number", unique=True),
    Index("ix_postings_rare", "network", "kind", "id", sqlite_where=_RARE, postgresql_where=_RARE),
    *(
        Index(f"ix_postings_{who}", "network", who, "id", sqlite_where=_known(who), postgresql_where=_known(who))
        for who in ("requester", "worker")
    ),
)
"""One balanced event of the ledger, never changed afterwards. ``business`` names what it is for, once per network.

``receipt`` is the SHA-256 of the signed fact that it rests on, ``reason`` what an admin said who posted it.
``sealed_``: its number and hash in the chain, once the sealer came by.
"""

ledger_heads = Table(
    "ledger_heads",
    METADATA,
    Column("network", ID, ForeignKey("networks.id"), primary_key=True),
    Column("number", WHOLE, nullable=False),
    Column("hash", KEY, nullable=False),
    Column("signed", Text, nullable=False),
    time_ms("sealed_ms"),
)
"""How far a network's postings are sealed, and the head that was signed for it last."""

decisions = Table(
    "decisions",
    METADATA,
    Column("network", ID, ForeignKey("networks.id"), primary_key=True),
    Column("number", WHOLE, primary_key=True, autoincrement=False),
    time_ms("at_ms"),
    Column("by", ID, nullable=False),
    Column("kind", WORD, nullable=False),
    Column("subject", String(64), nullable=False),
    Column("facts", Text, nullable=False),
    Column("hash", KEY, nullable=False),
)
"""What admins decided, numbered without gaps; each ``hash`` covers the one before, as postings' do."""

decision_starts = Table(
    "decision_starts",
    METADATA,
    Column("network", ID, ForeignKey("networks.id"), primary_key=True),
    Column("number", WHOLE, nullable=False),
    Column("hash", KEY, nullable=False),
)
"""The last decision that was forgotten, where a network's retention has it so: what is kept follows on its hash."""

entries = Table(
    "entries",
    METADATA,
    Column("posting", ID, ForeignKey("postings.id"), primary_key=True),
    Column("account", ID, ForeignKey("accounts.id"), primary_key=True),
    money("amount"),
    Column("rolled", Boolean, nullable=False, server_default=text("false")),
    Index("ix_entries_account_posting", "account", "posting", "amount"),
    Index(
        "ix_entries_unrolled",
        "account",
        sqlite_where=text("rolled = 0"),
        postgresql_where=text("not rolled"),
    ),
)
"""What a posting does to each account; the amounts of one posting sum to zero. ``rolled``: counted in the account."""

ledger_hours = Table(
    "ledger_hours",
    METADATA,
    Column("account", ID, ForeignKey("accounts.id"), primary_key=True),
    Column("hour", WHOLE, primary_key=True, autoincrement=False),
    Column("kind", WORD, primary_key=True),
    Column("requester", ID, primary_key=True),
    Column("worker", ID, primary_key=True),
    money("amount"),
    money("earned"),
    money("spent"),
    Index("ix_ledger_hours_amount", "account", "hour", "amount"),
)
"""What the sealed entries of an account sum to, for each hour (since 1970) in which they were posted, kind and pair of
devices ('' for none): so that a long ledger is not added up anew for each look at it.

``earned``, ``spent``: of it, what came to an account of the posting's earner, and (negative) left one of its payer.
"""

tariffs = Table(
    "tariffs",
    METADATA,
    Column("network", ID, ForeignKey("networks.id"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("rates", DOCUMENT, nullable=False),
    Column("made_by", ID, ForeignKey("members.id")),
    time_ms("made_ms"),
)
"""Rate cards of a network's own. Where a network has no row, the card that ships with Mesh applies."""

"""What the store can refuse, each with what the caller should do next.

Touches: nothing.
"""

from mesh.errors import MeshError


class StoreInUse(MeshError):
    """Another coordinator already works on this data folder. Stop that one first, or give this one its own --data."""

    code = "store.in_use"
    kind = "conflict"


class StoreNewer(MeshError):
    """This data was written by a newer Mesh. Nothing was changed; start that version, or a newer one."""

    code = "store.newer"
    kind = "conflict"


class StoreUrl(MeshError):
    """A database is a PostgreSQL address like postgresql://user:password@host/name, or a SQLite file in --data."""

    code = "store.url"
    kind = "invalid"


class StoreUnreachable(MeshError):
    """The database server does not answer, or does not let us in. Check that it runs, and the --database address."""

    code = "store.unreachable"
    kind = "unavailable"


class StoreTooOld(MeshError):
    """That PostgreSQL server is too old. Mesh needs version 15 or newer; nothing was changed."""

    code = "store.too_old"
    kind = "conflict"


class Raced(MeshError):
    """Somebody else changed the same thing at the same moment; nothing was written. Send it again."""

    code = "store.raced"
    kind = "conflict"


class StoreClosed(MeshError):
    """The coordinator is stopping and takes no more work. Nothing was done; send it again in a moment."""

    code = "store.closed"
    kind = "unavailable"


class BatchLost(MeshError):
    """The database could not write, and undid all that was written together. Nothing of it was done; send it again."""

    code = "store.batch_lost"
    kind = "unavailable"


class WriteRefused(MeshError):
    """The database refused this one change, and it was undone. Others were not touched; please report this."""

    code = "store.refused"
    kind = "failed"

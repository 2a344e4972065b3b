"""What people leave behind: a balance above zero is burnt, a debt stays visible until an admin closes it.

Touches: database (through the store it is given).
"""

from mesh.coordinator.acts.moment import Moment
from mesh.coordinator.store import ledger_reading
from mesh.coordinator.store.connection import Store
from mesh.coordinator.store.ledger import About, Books
from mesh.credits import transfers
from mesh.ids import MemberId, NetworkId


def burn_left_behind(store: Store, moment: Moment, most: int) -> int:
    """Burn what those who left have on their balance beyond what is held; later pay follows when it has matured.

    Returns how many accounts that was.
    """
    rows = ledger_reading.left_behind(store, most)
    for row in rows:
        books = Books(store, NetworkId(row.network), moment.now_ms, moment.new_id)
        business = f"burn:{row.member}:{moment.new_id()}"
        posting = transfers.burn(MemberId(row.member), row.amount - row.held)
        books.post(posting, About(business=business, payer=MemberId(row.member), reason="left the network"))
        books.flush(MemberId(row.member), 0)
    return len(rows)

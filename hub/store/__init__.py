"""The control plane: segments, destinations, syncs, runs and the consent ledger, on SQLite or PostgreSQL.

`Store.open(url, keys)` opens it, `migrate(url)` brings its schema up to date. Tortoise stays inside; what comes out are
`hub.core.records`.
"""

from hub.errors import StoreError
from hub.store.ledger import Appended
from hub.store.ledger_rows import NewEntry
from hub.store.runs import Claim, LeaseLost
from hub.store.store import Store
from hub.store.upgrade import migrate, pending

__all__ = ["Appended", "Claim", "LeaseLost", "NewEntry", "Store", "StoreError", "migrate", "pending"]

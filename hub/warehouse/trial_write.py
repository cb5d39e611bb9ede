"""A small write to the data plane that changes nothing, to find out whether it takes any."""

from __future__ import annotations

from hub.warehouse.engine import Engine

# No sync has this number, so nobody about any is kept waiting on a server; nor is anything read anew for it.
OF_NO_SYNC = 0
TOUCH = "UPDATE meta SET value = value WHERE key = 'schema'"
# Makes a new file on the server, so that there must be room for one, and entries in its log.
TEMPORARY = "CREATE TEMP TABLE trial_write ON COMMIT DROP AS SELECT repeat('x', 1000) FROM generate_series(1, 64)"


def try_writing(engine: Engine) -> None:
    """Raises StoreError if the data plane takes no writes."""
    with engine.write(OF_NO_SYNC) as tx:
        tx.execute(TEMPORARY if engine.shared else TOUCH)

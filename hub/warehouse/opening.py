"""Which engine the data plane runs on, by its URL."""

from __future__ import annotations

from pathlib import Path

from hub.errors import ErrorCode, refuse
from hub.warehouse.duckdb import open_duckdb
from hub.warehouse.engine import Engine


def open_engine(url: str, *, memory_limit: str | None = None, threads: int | None = None) -> Engine:
    """The engine of a `duckdb:///PATH` or `postgresql://…` URL; limits are the embedded engine's.

    Raises UNSUPPORTED for any other URL and for a server that does not answer, else as `open_duckdb`.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        return open_duckdb(duckdb_path(url), memory_limit=memory_limit, threads=threads)
    try:
        from hub.warehouse.postgres import open_postgres
    except ImportError:
        message = "The driver for PostgreSQL is not installed: pip install 'audience-hub[postgres]'."
        raise refuse(ErrorCode.UNSUPPORTED, message, "HUB_WAREHOUSE_URL") from None
    return open_postgres(url)


def duckdb_path(url: str) -> Path:
    """The file behind a `duckdb:///PATH` URL."""
    scheme, _, rest = url.partition(":///")
    if scheme != "duckdb" or not rest:
        message = "HUB_WAREHOUSE_URL must be duckdb:///PATH or postgresql://…"
        raise refuse(ErrorCode.UNSUPPORTED, message, "HUB_WAREHOUSE_URL")
    return Path(rest)

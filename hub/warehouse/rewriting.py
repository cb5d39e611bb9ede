"""The embedded engine's file, written anew. Rows that are deleted leave their bytes in it until the room is used again:
a copy that leaves the machine must not take along whoever has been erased."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb


def rewrite(path: Path, *, memory_limit: str | None = None, threads: int | None = None) -> None:
    """Put in the place of a file that nobody has open another one, with what is in it and nothing else."""
    fresh = path.with_name(path.name + ".fresh")
    # No parameter may stand for the name of a file here; a quote in it is doubled.
    old, new = (str(file).replace("'", "''") for file in (path, fresh))
    with TemporaryDirectory(dir=path.parent, prefix="spill-") as spill:
        limits = {"memory_limit": memory_limit, "threads": threads, "temp_directory": spill}
        config: dict[str, Any] = {name: value for name, value in limits.items() if value}
        with duckdb.connect(config={"autoinstall_known_extensions": "false", **config}) as connection:
            connection.execute(f"ATTACH '{old}' AS old (READ_ONLY)")
            connection.execute(f"ATTACH '{new}' AS fresh")
            connection.execute("COPY FROM DATABASE old TO fresh")
            connection.execute("DETACH fresh")
    fresh.replace(path)

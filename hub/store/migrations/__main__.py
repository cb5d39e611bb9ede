"""Write the migration for what changed in the models: `python -m hub.store.migrations`."""

from __future__ import annotations

import asyncio
import sys

from hub.store.upgrade import write_migration

if __name__ == "__main__":
    sys.stdout.writelines(f"{path}\n" for path in asyncio.run(write_migration()))

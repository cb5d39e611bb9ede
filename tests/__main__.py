"""The whole suite: everything on SQLite and DuckDB, then what touches the control plane again on PostgreSQL; the long
one ends with what makes a run with both planes there.

Tortoise speaks one dialect per process, hence two runs. `HUB_REQUIRE_POSTGRES=1` (CI) makes a missing server a failure.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.postgres_server import postgres_url

ON_POSTGRES = ["tests/store", "tests/services", "tests/api", "tests/web"]
ON_BOTH = [f"tests/services/test_{part}.py" for part in ("consent", "intake", "runs", "segments", "syncs", "worker")]
# Files whole, and in the order of tests/conftest.py.
SIDE_BY_SIDE = ["--dist", "loadfile", "--no-loadscope-reorder"]
# Hundreds of processes read the same modules: let the first to do so keep what it compiled.
COMPILED_ANEW = "PYTHONDONTWRITEBYTECODE"


def main() -> int:
    long = "--long" in sys.argv[1:]
    # Those on real servers have a target of their own, `make test-real`.
    marks = ["-m", "not real" if long else "not slow and not real"]
    if long:
        os.environ["HUB_LONG_TESTS"] = "1"
    with postgres_url() as url:
        if url is None:
            print("No PostgreSQL server or binaries found: its tests are skipped.", flush=True)
            if os.environ.get("HUB_REQUIRE_POSTGRES"):
                return 1
        first = run_pytest(["tests", *marks], HUB_TEST_POSTGRES_URL=url or "")
        if url is None:
            return first
        print("\nOnce more with PostgreSQL as the control plane:", flush=True)
        second = run_pytest([*ON_POSTGRES, *marks], HUB_TEST_DATABASE="postgres", HUB_TEST_POSTGRES_URL=url)
        third = run_on_both(url) if long else 0
    return first or second or third


def run_on_both(url: str) -> int:
    print("\nAnd with PostgreSQL as both planes:", flush=True)
    both = {"HUB_TEST_DATABASE": "postgres", "HUB_TEST_WAREHOUSE": "postgres", "HUB_TEST_POSTGRES_URL": url}
    return run_pytest(ON_BOTH, **both)


def side_by_side() -> int:
    """One more than there are processors, since tests wait a lot; no more than the servers and the disk beside bear."""
    return min((os.cpu_count() or 1) + 1, 8)


def run_pytest(arguments: list[str], **environment: str) -> int:
    command = [sys.executable, "-m", "pytest", "-n", str(side_by_side()), *SIDE_BY_SIDE, *arguments]
    inherited = {name: value for name, value in os.environ.items() if name != COMPILED_ANEW}
    return subprocess.run(command, env={**inherited, **environment}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

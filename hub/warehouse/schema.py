"""The data plane's own schema: its tables, its version, and how an older file is brought up to date.

Each module that owns tables exports their `DDL`; a new file gets all of them at the newest version, an older file
gets the upgrades it lacks, in order, in one transaction.

Meaning that every reader of the tables relies on:

- `TIMESTAMP` is UTC without a zone, everywhere.
- `identifiers` keeps every identifier ever linked. The newest of a kind is the one with the highest `seq` whose
  `value` is not null. An identifier that was cleared keeps its `subject` and loses its `value`: nothing is sent to it
  any more, while a denial recorded under it still stands.
- The kind `id` holds the external id itself, linked at the epoch.
- Nobody's `pid` is given out twice, not even after the profile is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from importlib import import_module

from hub.errors import ErrorCode, refuse
from hub.warehouse.engine import Engine, Reader, Transaction
from hub.warehouse.standing import VIEW
from hub.warehouse.values import FUNCTIONS

META = (
    "CREATE TABLE meta (key VARCHAR NOT NULL, value VARCHAR NOT NULL)",
    "INSERT INTO meta VALUES ('schema', '0'), ('catalogue', '0'), ('next_pid', '1'), ('next_seq', '1')",
)

OWNERS = ("catalogue", "profiles", "events", "evaluate", "consent", "plan", "outcomes", "settle", "fence", "audit")

# Statements that lead from version n to n + 1, oldest first; the DDL of the owners is always the newest version.
UPGRADES: tuple[Sequence[str], ...] = (
    # Whoever was refused was never tried again; attempts counted what was asked for by hand.
    (
        "ALTER TABLE delivered ADD COLUMN retry_at TIMESTAMP",
        "UPDATE delivered SET attempts = 1, retry_at = \"at\" + INTERVAL '1 hour' WHERE refused IS NOT NULL",
    ),
    # Every accepted person had a line of their own in the log of outcomes.
    (
        "ALTER TABLE plan ADD COLUMN fingerprint VARCHAR DEFAULT ''",
        'CREATE TABLE taken (run BIGINT NOT NULL, "position" BIGINT NOT NULL, upto BIGINT NOT NULL, '
        'attempt INTEGER NOT NULL, "at" TIMESTAMP NOT NULL, ledger_seq BIGINT NOT NULL, seq BIGINT NOT NULL)',
    ),
    # One process at a time had the data plane.
    ("CREATE TABLE fences (run BIGINT NOT NULL, fence BIGINT NOT NULL)",),
    # Whoever was in a job of the vendor's counted as unknown.
    ("ALTER TABLE outcomes ADD COLUMN job VARCHAR", "ALTER TABLE outcomes ADD COLUMN late_until TIMESTAMP"),
    # Nobody read back whom the vendors hold.
    (
        "CREATE TABLE sightings (sync BIGINT NOT NULL, run BIGINT NOT NULL, name VARCHAR NOT NULL)",
        "CREATE TABLE audits (sync BIGINT NOT NULL, run BIGINT NOT NULL, began_at TIMESTAMP NOT NULL, "
        "ended_at TIMESTAMP NOT NULL, members BIGINT NOT NULL, expected BIGINT NOT NULL, missing BIGINT, "
        "strangers BIGINT, unwanted BIGINT, confirmed BIGINT, refuted BIGINT, unknown_to_us BIGINT, "
        "steady BOOLEAN NOT NULL)",
        "CREATE TABLE drift (sync BIGINT NOT NULL, run BIGINT NOT NULL, kind VARCHAR NOT NULL, pid BIGINT NOT NULL)",
    ),
    # What came of a job did not end the doubt about whoever was in it.
    (
        "ALTER TABLE delivered ADD COLUMN job_op VARCHAR",
        "ALTER TABLE delivered ADD COLUMN job_fingerprint VARCHAR",
        "ALTER TABLE delivered ADD COLUMN job_until TIMESTAMP",
        "ALTER TABLE delivered ADD COLUMN leaving_until TIMESTAMP",
        VIEW,
    ),
    # Whether anybody had changed since a plan was made was found out person by person.
    (
        "INSERT INTO projection VALUES ('people', 0, 0)",
        "ALTER TABLE plans ADD COLUMN people BIGINT",
        # Beyond any number that the counter has given out.
        "CREATE SEQUENCE outcome_numbers START 1000000000000",
        "DELETE FROM meta WHERE key = 'next_outcome'",
    ),
)

# The embedded engine finds its way by the extremes of each block of rows; a server needs to be told.
INDEXES = {
    "duckdb": (),
    "postgres": tuple(
        f"CREATE INDEX IF NOT EXISTS {table}_by_{name} ON {table} ({columns})"
        for table, name, columns in (
            ("profiles", "pid", "pid"),
            ("profiles", "external_id", "external_id"),
            ("identifiers", "pid", "pid, kind"),
            ("identifiers", "value", "value, kind"),
            ("identifiers", "subject", "subject"),
            ("events", "pid", "pid, ts"),
            ("events", "name", "name, ts"),
            ("events", "event_id", "event_id"),
            ("memberships", "pid", "segment, lens, pid"),
            ("consent", "pid", "pid, purpose"),
            ("consent_entries", "subject", "subject, purpose"),
            ("plan", "place", 'run, "position"'),
            ("plan", "key", "run, key"),
            ("plan", "pid", "pid"),
            ("outcomes", "place", 'run, "position"'),
            ("outcomes", "pid", "pid"),
            ("taken", "place", 'run, "position"'),
            ("fences", "run", "run"),
            ("sightings", "run", "run"),
            ("drift", "kind", "run, kind, pid"),
            ("delivered", "key", "sync, audience, key"),
            ("delivered", "pid", "pid"),
        )
    ),
}

FIRST = 1
NEWEST = FIRST + len(UPGRADES)


def version(reader: Reader) -> int:
    """The version of the file; 0 when it has no tables yet."""
    known = reader.rows(
        "SELECT count(*) FROM information_schema.tables WHERE table_name = 'meta' AND table_schema = current_schema()"
    )
    return int(meta(reader, "schema")) if known[0][0] else 0


def create_or_upgrade(engine: Engine) -> int:
    """Bring the file to the newest version and return it; refuses a file that a newer hub has written.

    Where there is nothing to do, nobody who writes is waited for."""
    made = _mark(engine)
    if version(engine) == NEWEST and _known(engine, "made") == made:
        return NEWEST
    with engine.write() as tx:
        found = version(tx)
        if found > NEWEST:
            raise refuse(
                ErrorCode.UNSUPPORTED,
                f"The data plane has schema {found}, and this hub knows up to {NEWEST}: a newer hub has used it. "
                "Start that version or a later one.",
                "HUB_WAREHOUSE_URL",
            )
        for statement in _newly_made() if found == 0 else _missing(found):
            tx.execute(statement)
        for statement in (*FUNCTIONS[engine.dialect], *INDEXES[engine.dialect]):
            tx.execute(statement)
        set_meta(tx, "schema", str(NEWEST))
        set_meta(tx, "made", made)
    return NEWEST


def _mark(engine: Engine) -> str:
    """Changes with the functions and indexes that this code makes."""
    statements = "\n".join((*FUNCTIONS[engine.dialect], *INDEXES[engine.dialect]))
    return sha256(statements.encode()).hexdigest()


def _newly_made() -> list[str]:
    # Imported here, because the owners of tables import this module for its numbers.
    owned = (import_module(f"hub.warehouse.{owner}").DDL for owner in OWNERS)
    return [*META, *(statement for ddl in owned for statement in ddl)]


def _missing(found: int) -> list[str]:
    return [statement for upgrade in UPGRADES[found - FIRST :] for statement in upgrade]


def is_keyed_by(engine: Engine, mark: str) -> bool:
    """Whether the hashes in this file were made with the key of that mark; a file that knows of none takes this one."""
    if known := _known(engine, "key"):
        return known == mark
    with engine.write() as tx:
        known = _known(tx, "key")
        if known is None:
            set_meta(tx, "key", mark)
    return known in {None, mark}


def meta(reader: Reader, key: str) -> str:
    return str(reader.rows("SELECT value FROM meta WHERE key = $key", {"key": key})[0][0])


def _known(reader: Reader, key: str) -> str | None:
    found = reader.rows("SELECT value FROM meta WHERE key = $key", {"key": key})
    return str(found[0][0]) if found else None


def set_meta(tx: Transaction, key: str, value: str) -> None:
    if not tx.execute("UPDATE meta SET value = $value WHERE key = $key", {"key": key, "value": value}):
        tx.execute("INSERT INTO meta VALUES ($key, $value)", {"key": key, "value": value})


def take_numbers(tx: Transaction, counter: str, count: int) -> int:
    """The first of `count` numbers in a row that nobody had before; `counter` is `next_pid` or `next_seq`."""
    taken = "UPDATE meta SET value = CAST(CAST(value AS BIGINT) + $count AS VARCHAR) WHERE key = $key RETURNING value"
    return int(tx.rows(taken, {"key": counter, "count": count})[0][0]) - count

"""Which identifiers belong to whom: linked as they arrive, never unlinked by an import.

The newest identifier of a kind is the one with the highest `seq` that still has a value. Clearing a kind takes the
values and leaves the subjects, so that a denial recorded under one of them stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from hub.core.identifiers import EXTERNAL_ID, Pepper, subject_params, subject_sql
from hub.core.records import Trait
from hub.warehouse.consent import bump_generation, refold
from hub.warehouse.engine import Transaction
from hub.warehouse.schema import take_numbers
from hub.warehouse.staging import Staged

KIND = "CAST($kind AS VARCHAR)"
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the data plane's timestamps are UTC without a zone


class IdentifierCell(Protocol):
    @property
    def trait(self) -> Trait: ...
    @property
    def column(self) -> str: ...


def link(tx: Transaction, staged: Staged, cells: Mapping[str, IdentifierCell], now: datetime, pepper: Pepper) -> None:
    """Link what the rows in `touched` say, before the profiles themselves are written: what differs from a profile's
    newest identifier is news."""
    tx.execute("CREATE TEMP TABLE links (pid BIGINT, kind VARCHAR, value VARCHAR, line BIGINT, fresh BOOLEAN)")
    tx.execute("CREATE TEMP TABLE cleared (pid BIGINT, kind VARCHAR, line BIGINT)")
    key = staged.columns[EXTERNAL_ID]
    for kind, cell in cells.items():
        _collect(tx, key, kind, cell)
    _clear(tx)
    _save(tx, now, pepper, staged.last_line)
    new = "SELECT t.pid, s.{column} AS value, s.line FROM touched t JOIN staged s ON s.line = t.line WHERE t.fresh"
    introduce(tx, EXTERNAL_ID, new.format(column=key), EPOCH, pepper, staged.last_line)
    for kind, cell in cells.items():
        once = f"s.{cell.column} <> '' AND s.{key} NOT IN (SELECT key FROM repeated)"
        introduce(tx, kind, f"{new.format(column=cell.column)} AND {once}", now, pepper, staged.last_line)
    _settle(tx)


def find_unheard(tx: Transaction, key: str, cells: Mapping[str, IdentifierCell], pepper: Pepper) -> None:
    """Make `unheard` (key): known people whom the file names more than once, and of whose identifiers it says something
    new on the way, though its last word is what is known already."""
    tx.execute("CREATE TEMP TABLE unheard (key VARCHAR)")
    if not tx.rows("SELECT 1 FROM repeated LIMIT 1"):
        return
    for kind, cell in cells.items():
        asked = {"kind": kind, **subject_params(pepper)}
        tx.execute("DROP TABLE IF EXISTS said")
        tx.execute(
            "CREATE TEMP TABLE said AS SELECT p.pid, e.line, w.key, "
            f"e.{cell.column} AS value, w.cleared_on, {subject_sql(KIND, f'e.{cell.column}', tx.dialect)} AS subject "
            f"FROM every_row e JOIN profiles p ON p.external_id = e.{key} JOIN (SELECT {key} AS key, "
            f"coalesce(max(line) FILTER (WHERE {cell.column} = ''), 0) AS cleared_on FROM every_row GROUP BY {key}) "
            f"AS w ON w.key = e.{key} WHERE e.{cell.column} IS NOT NULL",
            asked,
        )
        tx.execute(f"INSERT INTO unheard {_NEW_ON_THE_WAY} UNION {_GONE_ON_THE_WAY}", {"kind": kind})


_NEW_ON_THE_WAY = """
SELECT s.key FROM said s LEFT JOIN identifiers i ON i.pid = s.pid AND i.kind = $kind AND i.subject = s.subject
WHERE s.value <> '' AND (i.pid IS NULL OR (i.value IS NULL AND s.line > s.cleared_on))"""

_GONE_ON_THE_WAY = """
SELECT c.key FROM said c JOIN identifiers i ON i.pid = c.pid AND i.kind = $kind
LEFT JOIN said s ON s.pid = i.pid AND s.subject = i.subject AND s.line > s.cleared_on
WHERE c.value = '' AND i.value IS NOT NULL AND s.pid IS NULL"""


def introduce(tx: Transaction, kind: str, people: str, linked_at: datetime, pepper: Pepper, last_line: int) -> None:
    """Link one identifier each of people who had none: a query of pid, value and line (which gives the order)."""
    first = take_numbers(tx, "next_seq", last_line + 1)
    tx.execute(
        "INSERT INTO identifiers (pid, kind, value, subject, linked_at, seq) "
        f"SELECT pid, CAST($kind AS VARCHAR), value, {subject_sql(KIND, 'value', tx.dialect)}, "
        f"CAST($linked_at AS TIMESTAMP), $first + line FROM ({people}) AS people",
        {"kind": kind, "linked_at": linked_at, "first": first, **subject_params(pepper)},
    )


def _collect(tx: Transaction, key: str, kind: str, cell: IdentifierCell) -> None:
    """Put what the file says of one kind about known people into `links` and `cleared`, and all that it says of those
    it names more than once: of these every line is heard (`every_row`), not only the merged row in `staged`."""
    news = f"s.{cell.column} IS NOT NULL AND nullif(s.{cell.column}, '') IS DISTINCT FROM p.\"{cell.trait.column}\""
    tx.execute("DROP TABLE IF EXISTS news")
    tx.execute(
        f"CREATE TEMP TABLE news AS SELECT t.pid, s.{cell.column} AS value, s.line, t.fresh FROM touched t "
        f"JOIN staged s ON s.line = t.line JOIN profiles p ON p.pid = t.pid WHERE NOT t.fresh AND {news} "
        f"AND s.{key} NOT IN (SELECT key FROM repeated)"
    )
    tx.execute(
        f"INSERT INTO news SELECT t.pid, e.{cell.column}, e.line, t.fresh FROM every_row e JOIN staged s "
        f"ON s.{key} = e.{key} JOIN touched t ON t.line = s.line WHERE e.{cell.column} IS NOT NULL"
    )
    tx.execute(f"INSERT INTO cleared SELECT pid, '{kind}', max(line) FROM news WHERE value = '' GROUP BY pid")
    tx.execute(
        f"INSERT INTO links SELECT pid, '{kind}', value, max(line), bool_or(fresh) FROM news WHERE value <> '' "
        "GROUP BY pid, value"
    )


def _clear(tx: Transaction) -> None:
    tx.execute(
        "UPDATE identifiers SET value = NULL FROM cleared c WHERE c.pid = identifiers.pid AND c.kind = identifiers.kind"
    )


def _save(tx: Transaction, now: datetime, pepper: Pepper, last_line: int) -> None:
    """New links are added; a known one gets its value back and becomes the newest."""
    first = take_numbers(tx, "next_seq", last_line + 1)
    tx.execute(
        "CREATE TEMP TABLE linking AS SELECT l.pid, l.kind, l.fresh, $first + l.line AS seq, "
        "CASE WHEN c.line IS NULL OR l.line > c.line THEN l.value END AS value, "
        f"{subject_sql('l.kind', 'l.value', tx.dialect)} AS subject "
        "FROM links l LEFT JOIN cleared c ON c.pid = l.pid AND c.kind = l.kind",
        {"first": first, **subject_params(pepper)},
    )
    tx.execute(
        "UPDATE identifiers SET value = n.value, seq = n.seq FROM linking n "
        "WHERE NOT n.fresh AND n.pid = identifiers.pid AND n.kind = identifiers.kind "
        "AND n.subject = identifiers.subject"
    )
    tx.execute(
        "INSERT INTO identifiers (pid, kind, value, subject, linked_at, seq) "
        "SELECT n.pid, n.kind, n.value, n.subject, CAST($now AS TIMESTAMP), n.seq FROM linking n "
        "LEFT JOIN identifiers i ON NOT n.fresh AND i.pid = n.pid AND i.kind = n.kind AND i.subject = n.subject "
        "WHERE i.pid IS NULL",
        {"now": now},
    )


def _settle(tx: Transaction) -> None:
    tx.execute(
        "CREATE TEMP TABLE relinked AS SELECT pid FROM links UNION SELECT pid FROM cleared "
        "UNION SELECT pid FROM touched WHERE fresh"
    )
    if tx.rows("SELECT 1 FROM relinked LIMIT 1"):
        bump_generation(tx)
        refold(tx, "relinked")

"""The consent projection: the ledger's entries as the data plane needs them, and every person's standing per purpose.

The fold here says in sets what `hub.core.consent.fold` says for one person; a test holds them equal. The watermark
(the last ledger entry taken in) is stored in the same transaction as the rows it speaks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from hub.core.clock import aware
from hub.core.consent import ConsentStanding
from hub.core.records import ConsentState
from hub.warehouse.engine import Reader, Transaction

DDL = (
    "CREATE TABLE consent_entries (seq BIGINT NOT NULL, subject BYTEA NOT NULL, purpose VARCHAR NOT NULL, "
    "action VARCHAR NOT NULL, effective_at TIMESTAMP NOT NULL, recorded_at TIMESTAMP NOT NULL, expires_at TIMESTAMP)",
    # `seq` is the entry that decided. `state` is never EXPIRED: a reader compares `expires_at` with the real clock.
    "CREATE TABLE consent (pid BIGINT NOT NULL, purpose VARCHAR NOT NULL, state VARCHAR NOT NULL, "
    "since TIMESTAMP NOT NULL, expires_at TIMESTAMP, seq BIGINT NOT NULL)",
    "CREATE TABLE projection (name VARCHAR NOT NULL, watermark BIGINT NOT NULL, generation BIGINT NOT NULL)",
    "INSERT INTO projection VALUES ('consent', 0, 0), ('people', 0, 0)",
)

ENTRIES = pa.schema(
    [
        ("seq", pa.int64()),
        ("subject", pa.binary()),
        ("purpose", pa.string()),
        ("action", pa.string()),
        ("effective_at", pa.timestamp("us")),
        ("recorded_at", pa.timestamp("us")),
        ("expires_at", pa.timestamp("us")),
    ]
)


class Position(NamedTuple):
    """How far the data plane has come: the last ledger entry taken in, and how often links between people and
    identifiers have changed. Two equal positions answer every question about consent alike."""

    watermark: int
    generation: int


def watermark(reader: Reader) -> Position:
    [(mark, generation)] = reader.rows("SELECT watermark, generation FROM projection WHERE name = 'consent'")
    return Position(mark, generation)


def bump_generation(tx: Transaction) -> None:
    """Say that identifiers were linked or a person was erased, so that what a gate has read is read again."""
    tx.execute("UPDATE projection SET generation = generation + 1 WHERE name = 'consent'")


def apply_entries(tx: Transaction, entries: pa.Table) -> int:
    """Take in the next stretch of the ledger (columns of `ENTRIES`), and return the new watermark.

    Entries at or below the watermark are already here and change nothing, so a repeat is harmless.
    """
    # The no-op update takes the row's lock where several processes may write.
    [(known,)] = tx.rows("UPDATE projection SET watermark = watermark WHERE name = 'consent' RETURNING watermark")
    tx.load("consent_delta", entries)
    tx.execute("DELETE FROM consent_delta WHERE seq <= $known", {"known": known})
    tx.execute(f"INSERT INTO consent_entries SELECT {_COLUMNS} FROM consent_delta")
    tx.execute(
        "CREATE TEMP TABLE consent_touched AS SELECT DISTINCT i.pid, d.purpose FROM consent_delta d "
        "JOIN identifiers i ON i.subject = d.subject"
    )
    tx.execute("DELETE FROM consent USING consent_touched t WHERE consent.pid = t.pid AND consent.purpose = t.purpose")
    tx.execute(_FOLD)
    [(head,)] = tx.rows("SELECT coalesce(max(seq), 0) FROM consent_delta")
    return _settle(tx, max(known, head))


def refold(tx: Transaction, pids: str) -> None:
    """Fold again for the people in the relation `pids` (column `pid`), whose identifiers have changed."""
    tx.execute(
        "CREATE TEMP TABLE consent_touched AS SELECT DISTINCT i.pid, e.purpose FROM identifiers i "
        f"JOIN consent_entries e ON e.subject = i.subject WHERE i.pid IN (SELECT pid FROM {pids})"
    )
    tx.execute(f"DELETE FROM consent WHERE pid IN (SELECT pid FROM {pids})")
    tx.execute(_FOLD)
    tx.execute("DROP TABLE consent_touched")


def clear(tx: Transaction) -> None:
    """Forget what was taken in, so that the whole ledger can be applied again: the first step of a rebuild."""
    tx.execute("DELETE FROM consent")
    tx.execute("DELETE FROM consent_entries")
    tx.execute("UPDATE projection SET watermark = 0, generation = generation + 1 WHERE name = 'consent'")


def rebuild(tx: Transaction, ledger: pa.Table | pa.RecordBatchReader) -> int:
    """Make the projection anew from the whole ledger (columns of `ENTRIES`), as after a restore; the new watermark."""
    clear(tx)
    tx.load("consent_delta", ledger)
    tx.execute(f"INSERT INTO consent_entries SELECT {_COLUMNS} FROM consent_delta")
    tx.execute(
        "CREATE TEMP TABLE consent_touched AS SELECT DISTINCT i.pid, e.purpose FROM identifiers i "
        "JOIN consent_entries e ON e.subject = i.subject"
    )
    tx.execute(_FOLD)
    [(head,)] = tx.rows("SELECT coalesce(max(seq), 0) FROM consent_entries")
    return _settle(tx, head)


def states(reader: Reader, pids: Sequence[int]) -> dict[int, dict[str, ConsentStanding]]:
    """What the projection holds of some people: pid → purpose → standing. Someone unheard is not in it."""
    found: dict[int, dict[str, ConsentStanding]] = {}
    sql = "SELECT pid, purpose, state, since, expires_at, seq FROM consent WHERE pid = ANY($pids)"
    for pid, purpose, state, since, expires_at, seq in reader.rows(sql, {"pids": list(pids)}):
        standing = ConsentStanding(ConsentState(state), aware(since), aware(expires_at), seq)
        found.setdefault(pid, {})[purpose] = standing
    return found


def granted_since(tx: Transaction, said: pa.Table) -> list[tuple[int, int]]:
    """Which of some denials (columns `position`, `subject`, `purpose`) have been followed by a grant: their position,
    and the entry that grants. It may be the subject's own last word, or that of a person who holds the subject."""
    tx.load("consent_said", said)
    found = tx.rows(_GRANTED_SINCE)
    tx.execute("DROP TABLE consent_said")
    return [(position, seq) for position, seq in found]


def _settle(tx: Transaction, head: int) -> int:
    tx.execute("UPDATE projection SET watermark = $head WHERE name = 'consent'", {"head": head})
    tx.execute("DROP TABLE consent_touched")
    tx.execute("DROP TABLE consent_delta")
    return head


_COLUMNS = ", ".join(ENTRIES.names)

# `place` ranks a person's entries for a purpose, the last word first; `own_place` does so within one subject.
# `denied_at` is the place of the highest denial. `lifted_at` is the place of the grant that carries a yes: the last
# word where the subjects agree, else the highest grant recorded since the last link. Yes, if it outranks every denial.
# Most people have one entry for a purpose, which is their last word: ranking those too would double the cost.
_FOLD = """
INSERT INTO consent (pid, purpose, state, since, expires_at, seq)
WITH theirs AS (
    SELECT pid, subject, min(linked_at) AS linked_at FROM identifiers
    WHERE pid IN (SELECT pid FROM consent_touched) GROUP BY pid, subject
), heard AS MATERIALIZED (
    SELECT t.pid, t.purpose, i.subject, i.linked_at, e.seq, e.action, e.effective_at, e.recorded_at, e.expires_at,
        CASE WHEN e.action = 'GRANT' THEN 0 ELSE 1 END AS is_no
    FROM consent_touched t JOIN theirs i ON i.pid = t.pid
    JOIN consent_entries e ON e.subject = i.subject AND e.purpose = t.purpose
), told AS MATERIALIZED (
    SELECT pid, purpose, count(*) AS entries, max(action) AS action, max(effective_at) AS effective_at,
        max(expires_at) AS expires_at, max(seq) AS seq
    FROM heard GROUP BY pid, purpose
), many AS (
    SELECT h.* FROM heard h JOIN told t ON t.pid = h.pid AND t.purpose = h.purpose WHERE t.entries > 1
), ranked AS (
    SELECT *, max(linked_at) OVER (PARTITION BY pid, purpose) AS last_link,
        row_number() OVER (PARTITION BY pid, purpose ORDER BY effective_at DESC, is_no DESC, seq DESC) AS place,
        row_number() OVER (PARTITION BY pid, purpose, subject ORDER BY effective_at DESC, is_no DESC, seq DESC)
            AS own_place
    FROM many
), weighed AS (
    SELECT pid, purpose, coalesce(min(place) FILTER (WHERE is_no = 1), count(*) + 1) AS denied_at,
        CASE WHEN max(is_no) FILTER (WHERE own_place = 1) = 0 THEN 1
            ELSE coalesce(min(place) FILTER (WHERE is_no = 0 AND recorded_at >= last_link), count(*) + 1) END
            AS lifted_at
    FROM ranked GROUP BY pid, purpose
), judged AS (
    SELECT r.*, w.lifted_at, w.lifted_at < w.denied_at AS granted,
        CASE WHEN w.lifted_at < w.denied_at THEN 1 ELSE w.denied_at END AS decided_at
    FROM ranked r JOIN weighed w ON w.pid = r.pid AND w.purpose = r.purpose
)
SELECT pid, purpose,
    max(CASE WHEN granted THEN 'GRANTED' WHEN action = 'WITHDRAW' THEN 'WITHDRAWN' ELSE 'DENIED' END)
        FILTER (WHERE place = decided_at),
    max(effective_at) FILTER (WHERE place = decided_at),
    min(expires_at) FILTER (WHERE granted AND place <= lifted_at),
    max(seq) FILTER (WHERE place = decided_at)
FROM judged GROUP BY pid, purpose
UNION ALL
SELECT pid, purpose,
    CASE action WHEN 'GRANT' THEN 'GRANTED' WHEN 'WITHDRAW' THEN 'WITHDRAWN' ELSE 'DENIED' END,
    effective_at, CASE WHEN action = 'GRANT' THEN expires_at END, seq
FROM told WHERE entries = 1
"""

_GRANTED_SINCE = """
WITH own AS (
    SELECT e.subject, e.purpose, e.seq, e.action, row_number() OVER (PARTITION BY e.subject, e.purpose ORDER BY
        e.effective_at DESC, CASE WHEN e.action = 'GRANT' THEN 0 ELSE 1 END DESC, e.seq DESC) AS place
    FROM consent_entries e WHERE e.subject IN (SELECT subject FROM consent_said)
), granting AS (
    SELECT s.position, own.seq FROM consent_said s
    JOIN own ON own.subject = s.subject AND own.purpose = s.purpose WHERE own.place = 1 AND own.action = 'GRANT'
    UNION ALL
    SELECT s.position, c.seq FROM consent_said s JOIN identifiers i ON i.subject = s.subject
    JOIN consent c ON c.pid = i.pid AND c.purpose = s.purpose WHERE c.state = 'GRANTED'
)
SELECT position, max(seq) FROM granting GROUP BY position ORDER BY position
"""

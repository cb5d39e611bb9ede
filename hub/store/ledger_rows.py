"""An entry of the ledger as a row of its table, with what makes it the same as another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from hub.core.instants import EPOCH, microseconds
from hub.core.records import ConsentAction, ConsentEntry

# Without an entry id the identity begins with the subject, so that one index finds both: an index at random places is
# what an insert costs most.
SUBJECT_PART, CONTENT_PART = 8, 16
COLUMNS = (
    "seq",
    "identity",
    "subject",
    "purpose",
    "action",
    "source",
    "evidence",
    "effective_us",
    "recorded_us",
    "expires_us",
    "entry_id",
    "content_hash",
)
GIVEN = pa.schema(
    [
        ("subject", pa.binary()),
        ("purpose", pa.string()),
        ("action", pa.string()),
        ("source", pa.string()),
        ("evidence", pa.string()),
        ("effective_us", pa.int64()),
        ("expires_us", pa.int64()),
        ("entry_id", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class NewEntry:
    """A decision in order, for the ledger to number. Times are aware; `entry_id` makes a repeat known as one.
    `effective_at` None stands for the moment of recording, and a repeat of it says the same."""

    subject: bytes
    purpose: str
    action: ConsentAction
    source: str
    effective_at: datetime | None
    expires_at: datetime | None = None
    evidence: dict[str, Any] | None = None
    entry_id: str = ""


# Values in the order of `COLUMNS`. A plain tuple, since millions of them are made.
Row = tuple[Any, ...]
IDENTITY, SUBJECT, ACTION, ENTRY_ID, CONTENT_HASH = (
    COLUMNS.index(n) for n in ("identity", "subject", "action", "entry_id", "content_hash")
)


def is_protective(row: Row) -> bool:
    return bool(row[ACTION] != ConsentAction.GRANT.value)


def under_its_content(row: Row) -> Row:
    """The same, known by what it says and no longer by its entry id."""
    return (None, _identity(row[SUBJECT], row[CONTENT_HASH], ""), *row[2:ENTRY_ID], "", row[CONTENT_HASH])


def identities(row: Row) -> tuple[bytes, ...]:
    """What the row may be known by."""
    return (row[IDENTITY], under_its_content(row)[IDENTITY]) if row[ENTRY_ID] else (row[IDENTITY],)


def span_of(subject: bytes) -> tuple[bytes, bytes]:
    """The first and the last identity that an entry about the subject can have, unless it has an entry id."""
    begun = subject[:SUBJECT_PART]
    return begun + bytes(CONTENT_PART), begun + b"\xff" * CONTENT_PART


def rows_of_entries(entries: Sequence[NewEntry], recorded_at: datetime) -> list[Row]:
    columns = [list(column) for column in zip(*map(_given, entries), strict=True)]
    return rows_of_table(pa.table(columns, schema=GIVEN), recorded_at) if entries else []


def _given(entry: NewEntry) -> tuple[Any, ...]:
    return (
        entry.subject,
        entry.purpose,
        entry.action.value,
        entry.source,
        None if entry.evidence is None else orjson.dumps(entry.evidence, option=orjson.OPT_SORT_KEYS).decode(),
        None if entry.effective_at is None else microseconds(entry.effective_at),
        None if entry.expires_at is None else microseconds(entry.expires_at),
        entry.entry_id,
    )


def rows_of_table(statements: pa.Table, recorded_at: datetime) -> list[Row]:
    """A row for each statement, not yet numbered; all but the hash itself is done a column at a time."""
    given = {name: statements.column(name).cast(kind) for name, kind in zip(GIVEN.names, GIVEN.types, strict=True)}
    hashes = [sha256(content).digest() for content in _contents(given).to_pylist()]
    recorded_us = microseconds(recorded_at)
    entry_ids = pc.fill_null(given["entry_id"], "").to_pylist()
    columns = {
        **{name: column.to_pylist() for name, column in given.items()},
        "seq": [None] * len(hashes),
        "identity": list(map(_identity, given["subject"].to_pylist(), hashes, entry_ids)),
        "effective_us": pc.fill_null(given["effective_us"], recorded_us).to_pylist(),
        "recorded_us": [recorded_us] * len(hashes),
        "entry_id": entry_ids,
        "content_hash": hashes,
    }
    return list(zip(*(columns[name] for name in COLUMNS), strict=True))


def _contents(given: dict[str, pa.ChunkedArray]) -> pa.ChunkedArray:
    """What each statement says, as bytes. Lengths before the texts keep two different ones from reading the same."""
    texts = [given[name] for name in ("purpose", "source", "evidence")]
    numbers = [given["effective_us"], given["expires_us"], *map(pc.binary_length, [given["subject"], *texts])]
    words = [pc.fill_null(number.cast(pa.string()), "none") for number in numbers]
    said = [*words, given["action"], *(pc.fill_null(text, "") for text in texts)]
    binary = [given["subject"], *(part.cast(pa.binary()) for part in said)]
    return pc.binary_join_element_wise(*binary, b"|")


def _identity(subject: bytes, content_hash: bytes, entry_id: str) -> bytes:
    """What an entry is known by; no two have the same."""
    if entry_id:
        return sha256(b"entry id " + entry_id.encode()).digest()[: SUBJECT_PART + CONTENT_PART]
    return subject[:SUBJECT_PART] + content_hash[:CONTENT_PART]


def entry_of(row: Any) -> ConsentEntry:
    """The record of a row of `COLUMNS`."""
    return ConsentEntry(
        seq=row["seq"],
        subject=bytes(row["subject"]),
        purpose=row["purpose"],
        action=ConsentAction(row["action"]),
        source=row["source"],
        evidence=None if row["evidence"] is None else orjson.loads(row["evidence"]),
        effective_at=moment(row["effective_us"]),
        recorded_at=moment(row["recorded_us"]),
        expires_at=None if row["expires_us"] is None else moment(row["expires_us"]),
        entry_id=row["entry_id"],
    )


def moment(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)

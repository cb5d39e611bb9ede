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
    identity = row[SUBJECT][:SUBJECT_PART] + row[CONTENT_HASH][:CONTENT_PART]
    return (None, identity, *row[2:ENTRY_ID], "", row[CONTENT_HASH])


def identities(row: Row) -> tuple[bytes, ...]:
    """What the row may be known by."""
    return (row[IDENTITY], under_its_content(row)[IDENTITY]) if row[ENTRY_ID] else (row[IDENTITY],)


def span_of(subject: bytes) -> tuple[bytes, bytes]:
    """The first and the last identity that an entry about the subject can have, unless it has an entry id."""
    begun = subject[:SUBJECT_PART]
    return begun + bytes(CONTENT_PART), begun + b"\xff" * CONTENT_PART


def columns_of_entries(entries: Sequence[NewEntry], recorded_at: datetime) -> pa.Table:
    """The entries as `columns_of` gives them."""
    columns = [list(column) for column in zip(*map(_given, entries), strict=True)]
    return columns_of(pa.table(columns, schema=GIVEN) if entries else GIVEN.empty_table(), recorded_at)


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


def columns_of(statements: pa.Table, recorded_at: datetime) -> pa.Table:
    """What the ledger's table holds of each statement (`COLUMNS`), but for its number; all but the hash itself is done
    a column at a time."""
    given = {name: statements.column(name).cast(kind) for name, kind in zip(GIVEN.names, GIVEN.types, strict=True)}
    hashes = pa.array([sha256(content).digest() for content in _contents(given).to_pylist()], pa.binary())
    recorded_us = pa.scalar(microseconds(recorded_at), pa.int64())
    entry_ids = pc.fill_null(given["entry_id"], "")
    columns = {
        **given,
        "identity": _identities(given["subject"], hashes, entry_ids),
        "effective_us": pc.fill_null(given["effective_us"], recorded_us),
        "recorded_us": pa.repeat(recorded_us, len(hashes)),
        "entry_id": entry_ids,
        "content_hash": hashes,
    }
    return pa.table({name: columns[name] for name in COLUMNS[1:]})


def rows_of(columns: pa.Table) -> list[Row]:
    """The rows of a table of `columns_of`, not yet numbered."""
    return list(zip([None] * columns.num_rows, *(column.to_pylist() for column in columns.columns), strict=True))


def _contents(given: dict[str, pa.ChunkedArray]) -> pa.ChunkedArray:
    """What each statement says, as bytes. Lengths before the texts keep two different ones from reading the same."""
    texts = [given[name] for name in ("purpose", "source", "evidence")]
    numbers = [given["effective_us"], given["expires_us"], *map(pc.binary_length, [given["subject"], *texts])]
    words = [pc.fill_null(number.cast(pa.string()), "none") for number in numbers]
    said = [*words, given["action"], *(pc.fill_null(text, "") for text in texts)]
    binary = [given["subject"], *(part.cast(pa.binary()) for part in said)]
    return pc.binary_join_element_wise(*binary, b"|")


def _identities(subjects: pa.ChunkedArray, hashes: pa.Array, entry_ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """What every entry is known by; no two have the same."""
    begun = pc.binary_slice(subjects, 0, SUBJECT_PART)
    by_content = pc.binary_join_element_wise(begun, pc.binary_slice(hashes, 0, CONTENT_PART), b"")
    if not pc.any(pc.not_equal(entry_ids, ""), min_count=0).as_py():
        return by_content
    by_id = [of_entry_id(entry_id) if entry_id else None for entry_id in entry_ids.to_pylist()]
    return pc.coalesce(pa.array(by_id, pa.binary()), by_content)


def of_entry_id(entry_id: str) -> bytes:
    """What an entry with this id is known by."""
    return sha256(b"entry id " + entry_id.encode()).digest()[: SUBJECT_PART + CONTENT_PART]


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

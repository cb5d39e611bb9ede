"""The consent ledger: every decision ever heard, in the order in which it was committed, never changed.

Sequence numbers are handed out one transaction at a time, without gaps: whoever has read up to `head()` has missed
nothing. Appending is idempotent: an entry whose entry id, or else whose content, stands in the ledger is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Any

import pyarrow as pa

from hub.core.records import ConsentAction, ConsentEntry
from hub.errors import HubError
from hub.store.database import Database, stored
from hub.store.ledger_rows import (
    COLUMNS,
    CONTENT_HASH,
    IDENTITY,
    NewEntry,
    Row,
    columns_of,
    columns_of_entries,
    entry_of,
    identities,
    is_protective,
    of_entry_id,
    rows_of,
    span_of,
    under_its_content,
)
from hub.store.packed import Packed, pack

# One transaction each: long enough to be fast, short enough that other writers do not wait long.
CHUNK = 25_000
# Fewer than the parameters that SQLite allows in one statement, and than the terms.
LOOKUP, SPANS = 5_000, 200
# Rows that become columns at a time.
TURNED = 2_000
# "consents" in ASCII: the advisory lock under which PostgreSQL hands out sequence numbers.
APPENDING = 0x636F6E73656E7473

Standing = dict[bytes, tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Appended:
    """`seqs` has each entry's number in the order given, also of those that stood there before (`unchanged` of them).

    `conflicts` are the positions of grants that were not taken, since their entry id stands for something else; `seqs`
    names that other entry. A denial or withdrawal is taken even then.

    `entries` is what `since` will read of them, where all that was given is new; else None. Other writers' entries may
    lie between."""

    seqs: tuple[int, ...] = ()
    unchanged: int = 0
    conflicts: tuple[int, ...] = ()
    entries: pa.Table | None = None


class Ledger:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, entries: Sequence[NewEntry], *, recorded_at: datetime) -> Appended:
        """Append a few entries at once, or none of them."""
        return await self._append(columns_of_entries(entries, recorded_at))

    async def append_table(self, statements: pa.Table, *, recorded_at: datetime) -> Appended:
        """Append many, in transactions of their own: the columns `subject`, `purpose`, `action`, `source`, `evidence`
        (JSON text), `effective_us` (null: `recorded_at`), `expires_us` and `entry_id`; others are not looked at."""
        done = []
        for start in range(0, statements.num_rows, CHUNK):
            columns = await asyncio.to_thread(columns_of, statements.slice(start, CHUNK), recorded_at)
            done.append(await self._append(columns))
        return _together(done)

    @stored
    async def head(self) -> int:
        """The newest sequence number; 0 while the ledger is empty."""
        return await self._head()

    @stored
    async def since(self, seq: int, limit: int = 50_000) -> pa.Table:
        """The entries after `seq`, in order, at most `limit`: what a decision needs of each (`SINCE`)."""
        columns = ", ".join(map(_stored_name, SINCE.names))
        sql = f"SELECT {columns} FROM consent_entry WHERE seq > $1 ORDER BY seq LIMIT $2"
        rows = await self._database.fetch(sql, seq, limit)
        return await asyncio.to_thread(_table, rows)

    @stored
    async def whole(self, after: int) -> list[ConsentEntry]:
        """Every entry after that number with all it holds, for what a backup has missed."""
        sql = f"SELECT {_NAMES} FROM consent_entry WHERE seq > $1 ORDER BY seq"
        return [entry_of(row) for row in await self._database.fetch(sql, after)]

    @stored
    async def for_subjects(self, subjects: Iterable[bytes], purpose: str | None = None) -> list[ConsentEntry]:
        """The history of these subjects, oldest number first, for one purpose or for all."""
        rows = await self._about(set(subjects))
        entries = (entry_of(row) for row in rows if purpose is None or row["purpose"] == purpose)
        return sorted(entries, key=lambda entry: entry.seq)

    @stored
    async def protective(self, entry_ids: Collection[str]) -> set[str]:
        """Which of these entry ids stand for a denial or a withdrawal."""
        named = {of_entry_id(entry_id): entry_id for entry_id in entry_ids}
        rows = await self._matching("identity", named)
        return {named[bytes(row["identity"])] for row in rows if row["action"] != ConsentAction.GRANT.value}

    @stored
    async def _append(self, columns: pa.Table) -> Appended:
        if not columns.num_rows:
            return Appended()
        packed = await asyncio.to_thread(pack, columns) if self._may_be_all_new(columns) else None
        async with self._database.transaction():
            await self._wait_for_turn()
            head = await self._head()
            if packed and await self._all_new(packed, head):
                return _as_new(columns, head)
            return await self._what_is_new(columns, head)

    def _may_be_all_new(self, columns: pa.Table) -> bool:
        return columns.num_rows >= LOOKUP and self._database.dialect == "sqlite"

    async def _all_new(self, packed: Packed, head: int) -> bool:
        """Append a file's entries as if the ledger knew none of them, which saves looking; False if it knows one."""
        values = [*packed.values, head]
        sql = f"INSERT INTO consent_entry ({_NAMES}) {packed.selected(f'${len(values)} + i + 1')}"
        try:
            async with self._database.transaction():
                await self._database.fetch(sql, *values)
        except HubError:
            return False
        return True

    async def _what_is_new(self, columns: pa.Table, head: int) -> Appended:
        rows = await asyncio.to_thread(rows_of, columns)
        known_by = {identity for row in rows for identity in identities(row)}
        found = await self._matching("identity", known_by)
        standing = {bytes(row["identity"]): (row["seq"], bytes(row["content_hash"])) for row in found}
        new, appended = number(rows, standing, head)
        await self._insert(new)
        return _as_new(columns, head) if len(new) == len(rows) and not appended.conflicts else appended

    async def _wait_for_turn(self) -> None:
        """SQLite has one writer at a time as it is."""
        if self._database.dialect == "postgres":
            await self._database.fetch("SELECT pg_advisory_xact_lock($1)", APPENDING)

    async def _head(self) -> int:
        return int((await self._database.fetch("SELECT coalesce(max(seq), 0) FROM consent_entry"))[0][0])

    async def _insert(self, rows: list[Row]) -> None:
        if not rows:
            return
        if self._database.dialect == "sqlite":
            await self._database.connection.execute_many(INSERT_SQLITE, rows)  # type: ignore[arg-type]
        else:
            await self._database.fetch(INSERT_POSTGRES, *map(list, zip(*rows, strict=True)))

    async def _about(self, subjects: set[bytes]) -> list[Any]:
        """The whole rows of these subjects: those with an entry id by their subject, the others by their identity,
        which begins with it."""
        rows = await self._matching("entry_id <> '' AND subject", subjects)
        for some in batched(list(subjects), SPANS):
            spans = " OR ".join(f"identity BETWEEN ${2 * at + 1} AND ${2 * at + 2}" for at in range(len(some)))
            ends = [end for subject in some for end in span_of(subject)]
            rows += await self._database.fetch(f"SELECT {_NAMES} FROM consent_entry WHERE {spans}", *ends)
        return list({row["seq"]: row for row in rows if bytes(row["subject"]) in subjects}.values())

    async def _matching(self, column: str, values: Collection[bytes]) -> list[Any]:
        """The whole rows whose `column` is among the values."""
        sql = f"SELECT {_NAMES} FROM consent_entry WHERE {column}"
        if self._database.dialect == "postgres":
            return await self._database.fetch(f"{sql} = ANY($1::bytea[])", list(values))
        found: list[Any] = []
        for some in batched(list(values), LOOKUP):
            found += await self._database.fetch(f"{sql} IN ({', '.join('?' * len(some))})", *some)
        return found


SINCE = pa.schema(
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
_NAMES = ", ".join(COLUMNS)
_TYPES = "bigint bytea bytea text text text text bigint bigint bigint text bytea".split()
_ARRAYS = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(_TYPES, 1))
INSERT_SQLITE = f"INSERT INTO consent_entry ({_NAMES}) VALUES ({', '.join('?' * len(COLUMNS))})"
INSERT_POSTGRES = f"INSERT INTO consent_entry ({_NAMES}) SELECT * FROM unnest({_ARRAYS})"


def _together(done: Sequence[Appended]) -> Appended:
    starts = [0, *accumulate(len(part.seqs) for part in done)]
    entries = [part.entries for part in done if part.entries is not None]
    return Appended(
        tuple(seq for part in done for seq in part.seqs),
        sum(part.unchanged for part in done),
        tuple(start + position for start, part in zip(starts[:-1], done, strict=True) for position in part.conflicts),
        pa.concat_tables(entries) if entries and len(entries) == len(done) else None,
    )


def _as_new(columns: pa.Table, head: int) -> Appended:
    seqs = tuple(range(head + 1, head + columns.num_rows + 1))
    numbered = columns.append_column("seq", pa.array(seqs, pa.int64()))
    entries = [numbered[_stored_name(name)].cast(kind) for name, kind in zip(SINCE.names, SINCE.types, strict=True)]
    return Appended(seqs, entries=pa.table(entries, schema=SINCE))


def _stored_name(name: str) -> str:
    return name.replace("_at", "_us")


def number(rows: Sequence[Row], standing: Standing, head: int) -> tuple[list[Row], Appended]:
    """Number what is new from `head` on: the rows to insert, and what became of each row given.

    A denial or withdrawal whose entry id stands for something else goes in under what it says."""
    new, seqs, conflicts = list[Row](), list[int](), list[int]()
    for position, given in enumerate(rows):
        row, found = given, standing.get(given[IDENTITY])
        if found and found[1] != row[CONTENT_HASH] and is_protective(row):
            row = under_its_content(row)
            found = standing.get(row[IDENTITY])
        if found is None:
            found = standing[row[IDENTITY]] = (head + len(new) + 1, row[CONTENT_HASH])
            new.append((found[0], *row[1:]))
        elif found[1] != row[CONTENT_HASH]:
            conflicts.append(position)
        seqs.append(found[0])
    return new, Appended(tuple(seqs), len(rows) - len(new) - len(conflicts), tuple(conflicts))


def _table(rows: Sequence[Any]) -> pa.Table:
    # Turned a few at a time: turning all at once leaves the processor's cache, at four times the cost.
    few = (rows[start : start + TURNED] for start in range(0, len(rows), TURNED))
    return pa.Table.from_batches(map(_batch, few), SINCE).combine_chunks()


def _batch(rows: Sequence[Any]) -> pa.RecordBatch:
    arrays = [
        pa.array(column, pa.int64()).cast(kind) if pa.types.is_timestamp(kind) else pa.array(column, kind)
        for column, kind in zip(zip(*rows, strict=True), SINCE.types, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=SINCE)


def batched(values: list[bytes], size: int) -> Iterator[list[bytes]]:
    return (values[start : start + size] for start in range(0, len(values), size))

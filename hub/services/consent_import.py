"""Decisions by the file: heard a block at a time, appended to the ledger, and answered line by line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from hub.core.consent_columns import LINE, UNREADABLE, Heard, hear
from hub.core.identifiers import KINDS
from hub.core.imports import FileFormat, ImportReport, Rejection
from hub.core.records import ConsentAction
from hub.errors import ErrorCode, nearest, refuse
from hub.services.hub import Hub
from hub.services.projection import Alongside, catch_up
from hub.warehouse import consent
from hub.warehouse.files.block import DAMAGE, Block, Tape
from hub.warehouse.staging import MOST_REJECTIONS, READERS, Progress, Renaming

TAKEN_ID = "The entry id stands for another entry already: choose another one."
NEEDED = ("purpose", "action")


@dataclass(slots=True)
class Tally:
    """The lines of a file as they come out; `rejections` keeps the first ones."""

    accepted: int = 0
    unchanged: int = 0
    rejected: int = 0
    rejections: list[Rejection] = field(default_factory=list)

    @property
    def lines(self) -> int:
        return self.accepted + self.unchanged + self.rejected

    def reject(self, rejections: Sequence[Rejection]) -> None:
        self.rejected += len(rejections)
        self.rejections.extend(rejections[: max(0, MOST_REJECTIONS - len(self.rejections))])

    def report(self) -> ImportReport:
        cut = self.rejected > len(self.rejections)
        listed = tuple(sorted(self.rejections, key=lambda rejection: rejection.line))
        return ImportReport(self.accepted, self.unchanged, self.rejected, listed, cut)


async def import_consents(
    hub: Hub,
    path: Path,
    file_format: FileFormat,
    *,
    mapping: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Take in the decisions of a file; `mapping` renames columns (column of the file → name in the hub).

    HubError INVALID, with nothing recorded, for a file that cannot be read as a whole or lacks a column without which
    no line says anything. Then block follows block, each durable before the next: a repeat after a crash finds those
    unchanged. The data plane follows alongside.
    """
    await asyncio.to_thread(_check, path, file_format, dict(mapping or {}))
    tally, purposes = Tally(), await hub.store.purposes.keys()
    try:
        with closing(_parts(hub, path, file_format, Renaming(dict(mapping or {})), purposes)) as parts:
            async with aclosing(_ahead(parts)) as ready, Alongside(hub) as projecting:
                async for part in ready:
                    entries = await _record(hub, part.heard, tally)
                    if entries:
                        await projecting.offer(entries)
                    if progress:
                        progress(tally.lines, part.bytes)
    finally:
        if tally.accepted:
            hub.signals.consent_changed.set()
    return tally.report()


def _check(path: Path, file_format: FileFormat, mapping: dict[str, str]) -> None:
    """Read the whole file once before anything is recorded: reading costs little beside recording."""
    renaming = Renaming(mapping)
    with closing(Tape(path)) as tape:
        named = {name for block in READERS[file_format](path, tape) for name in renaming.renamed(block).columns}
    renaming.check_mapping()
    if not named.intersection(KINDS):
        raise refuse(ErrorCode.INVALID, f"The file names nobody: it needs one of {', '.join(KINDS)}.", "file", "id")
    for name in NEEDED:
        if name not in named:
            near = nearest(name, named)
            message = f"The file has no column {name!r}, which every line needs; map one to it."
            raise refuse(ErrorCode.INVALID, message, "file", name, suggestion=f"--map {near}={name}" if near else None)


def _lines(block: Block, *, damaged: bool) -> pa.Table:
    """The lines of a block that are not blank."""
    columns = {name: column for name, column in block.columns.items() if name != LINE}
    if damaged:
        columns = {name: pc.replace_substring(column, DAMAGE, UNREADABLE) for name, column in columns.items()}
    for name in block.nested.keys() & set(KINDS):
        columns[name] = pc.if_else(block.nested[name], UNREADABLE, columns[name])
    lines = pa.table({LINE: block.line, **columns})
    if not block.blank_lines:
        return lines
    blank = pc.equal(pc.fill_null(columns.get("action", pa.nulls(len(lines), pa.string())), ""), "")
    if not pc.any(blank, min_count=0).as_py():
        return lines
    for column in columns.values():
        blank = pc.and_(blank, pc.equal(pc.fill_null(column, ""), ""))
    return lines.filter(pc.invert(blank))


@dataclass(frozen=True, slots=True)
class Part:
    """A block that has been heard; `bytes` of the file are read by then."""

    heard: Heard
    bytes: int


def _parts(
    hub: Hub, path: Path, file_format: FileFormat, renaming: Renaming, purposes: Sequence[str]
) -> Generator[Part, None, None]:
    with closing(Tape(path)) as tape:
        for block in READERS[file_format](path, tape):
            lines = _lines(renaming.renamed(block), damaged=tape.damaged)
            heard = hear(lines, purposes, hub.pepper, hub.clock.now())
            yield Part(Heard(heard.statements, [*block.rejections, *heard.rejections]), tape.bytes)


async def _ahead(parts: Iterator[Part]) -> AsyncGenerator[Part, None]:
    """Each part, while the next one is read and heard in a thread beside."""
    upcoming = asyncio.create_task(asyncio.to_thread(next, parts, None))
    try:
        while (part := await upcoming) is not None:
            upcoming = asyncio.create_task(asyncio.to_thread(next, parts, None))
            yield part
    finally:
        # A thread cannot be stopped: let it come to the end of its block, or the file would be closed under it.
        await asyncio.wait([upcoming])


async def _record(hub: Hub, heard: Heard, tally: Tally) -> pa.Table | None:
    """Append what was heard; the ledger's entries, if it knew none of them."""
    tally.reject(heard.rejections)
    before = await hub.store.ledger.head()
    appended = await hub.store.ledger.append_table(heard.statements, recorded_at=hub.clock.now())
    lines = heard.statements[LINE]
    if not appended.unchanged and not appended.conflicts:
        tally.accepted += pc.count_distinct(lines).as_py()
        return appended.entries
    numbers = lines.to_pylist()
    taken = {numbers[position] for position in appended.conflicts}
    new = set(_new_lines(numbers, appended.seqs, before))
    new |= await _again(hub, heard.statements, appended.seqs, before)
    tally.accepted += len(new)
    tally.unchanged += len(set(numbers) - new - taken)
    tally.reject([Rejection(number, TAKEN_ID, "entry_id", ErrorCode.CONFLICT) for number in sorted(taken - new)])
    return None


def _new_lines(lines: Sequence[int], seqs: Sequence[int], before: int) -> Iterator[int]:
    """Lines that brought an entry the ledger did not have; of lines that say the same, the first."""
    seen: set[int] = set()
    for line, seq in zip(lines, seqs, strict=True):
        if seq > before and seq not in seen:
            seen.add(seq)
            yield line


async def _again(hub: Hub, statements: pa.Table, seqs: Sequence[int], before: int) -> set[int]:
    """Record denials anew that the ledger knows, that say no time, and that a grant has followed since: their lines.

    A file that is delivered daily says the same line for another withdrawal, and that one must count.
    """
    known = pc.less_equal(pa.array(seqs, pa.int64()), before)
    timeless = pc.and_(pc.is_null(statements["effective_us"]), pc.equal(statements["entry_id"], ""))
    positions = pc.indices_nonzero(pc.and_(known, pc.and_(timeless, _denies(statements))))
    if not len(positions):
        return set()
    await catch_up(hub)
    said = (
        statements.select(["subject", "purpose"]).take(positions).append_column("position", positions.cast(pa.int64()))
    )
    found = await asyncio.to_thread(_granted_since, hub, said)
    if not found:
        return set()
    again = statements.take(pa.array([position for position, _ in found], pa.int64()))
    ids = pa.array([f"again after {seq}" for _, seq in found])
    ids = pc.binary_join_element_wise(ids, _hex(again["subject"]), " ")
    again = again.set_column(again.schema.get_field_index("entry_id"), "entry_id", ids)
    await hub.store.ledger.append_table(again, recorded_at=hub.clock.now())
    return set(again[LINE].to_pylist())


def _granted_since(hub: Hub, said: pa.Table) -> list[tuple[int, int]]:
    with hub.engine.write() as tx:
        return consent.granted_since(tx, said)


def _denies(statements: pa.Table) -> pa.ChunkedArray:
    return pc.not_equal(statements["action"], ConsentAction.GRANT.value)


def _hex(subjects: pa.ChunkedArray) -> pa.Array:
    return pa.array([subject.hex() for subject in subjects.to_pylist()], pa.string())

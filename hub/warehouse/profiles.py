"""The people the hub knows, and how a file about them goes in.

An import patches: a column that the file lacks keeps what is known, an empty cell clears it. Where a file speaks of
one person twice, the later line wins, column by column, just as if the file had come in two parts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from hub.core.identifiers import EXTERNAL_ID, IDENTIFIER_TRAITS, Pepper
from hub.core.imports import ImportReport, Shape
from hub.core.records import Trait, TraitType
from hub.errors import ErrorCode, refuse
from hub.warehouse.basis import note_changed_people
from hub.warehouse.catalogue import ensure_traits, trait_types
from hub.warehouse.engine import Reader, Transaction
from hub.warehouse.inference import Question, guesses, infer
from hub.warehouse.links import find_unheard, link
from hub.warehouse.schema import take_numbers
from hub.warehouse.staging import Misfit, Staged
from hub.warehouse.values import FORMS, misfit, read_as

# Texts and hashes that differ in every row compress badly, and trying to takes most of the time of an insert.
PLAIN = "USING COMPRESSION uncompressed"

DDL = (
    f"CREATE TABLE profiles (pid BIGINT NOT NULL, external_id VARCHAR {PLAIN} NOT NULL, "
    "first_seen TIMESTAMP NOT NULL, changed_at TIMESTAMP NOT NULL)",
    f"CREATE TABLE identifiers (pid BIGINT NOT NULL, kind VARCHAR NOT NULL, value VARCHAR {PLAIN}, "
    f"subject BYTEA {PLAIN} NOT NULL, linked_at TIMESTAMP NOT NULL, seq BIGINT NOT NULL)",
)

# A snapshot that would drop more than this share of all profiles waits for somebody to approve it.
BRAKE = 0.30


@dataclass(frozen=True, slots=True)
class Cell:
    """A trait and the staged column its new values are in; `typed` when they are staged as what they are, `clean` when
    every one of them is known to fit."""

    trait: Trait
    column: str
    typed: bool
    clean: bool

    @property
    def value(self) -> str:
        """The new value, typed; null where the row clears it or says nothing."""
        return f"s.{self.column}" if self.typed else read_as(self.trait.type, f"s.{self.column}")

    @property
    def kept_or_new(self) -> str:
        if self.typed:
            return self.value
        return f'CASE WHEN s.{self.column} IS NULL THEN p."{self.trait.column}" ELSE {self.value} END'

    @property
    def differs(self) -> str:
        changed = f'p."{self.trait.column}" IS DISTINCT FROM {self.value}'
        return changed if self.typed else f"(s.{self.column} IS NOT NULL AND {changed})"


def shape(reader: Reader, region: str | None = None) -> Shape:
    """What a file of profiles has to have."""
    identifiers = {kind: kind for kind in (EXTERNAL_ID, *IDENTIFIER_TRAITS)}
    return Shape((EXTERNAL_ID,), identifiers, region, trait_types(reader))


def import_profiles(
    tx: Transaction, staged: Staged, now: datetime, pepper: Pepper, *, snapshot: bool = False, approve: bool = False
) -> ImportReport:
    """Bring the staged file in at `now` (UTC, without a zone).

    Raises HubError POLICY if the file is a snapshot that would drop more than 30 % of all profiles, or that has rows
    whose person cannot be told, unless `approve`.
    """
    cells = _cells(tx, staged)
    _reject_misfits(tx, staged, cells)
    removed = _drop_absent(tx, staged, approve=approve) if snapshot else 0
    _merge_repeated(tx, staged)
    find_unheard(tx, staged.columns[EXTERNAL_ID], cells_of_identifiers(cells), pepper)
    _touch(tx, staged, cells)
    link(tx, staged, cells_of_identifiers(cells), now, pepper)
    _write(tx, staged, cells, now)
    accepted, rest = _counts(tx, staged)
    if accepted:
        note_changed_people(tx)
    return replace(staged.report(accepted, rest), removed=removed)


def _counts(tx: Transaction, staged: Staged) -> tuple[int, int]:
    """Rows that changed something and rows that did not; all rows of one person count alike."""
    [(touched, people)] = tx.rows("SELECT (SELECT count(*) FROM touched), (SELECT count(*) FROM staged)")
    [(more_touched, more)] = tx.rows(
        "SELECT coalesce(sum(r.rows - 1) FILTER (WHERE t.line IS NOT NULL), 0), coalesce(sum(r.rows - 1), 0) "
        f"FROM repeated r JOIN staged s ON s.{staged.columns[EXTERNAL_ID]} = r.key "
        "LEFT JOIN touched t ON t.line = s.line"
    )
    accepted = int(touched + more_touched)
    return accepted, int(people + more) - accepted


def cells_of_identifiers(cells: list[Cell]) -> dict[str, Cell]:
    return {cell.trait.name: cell for cell in cells if cell.trait.name in IDENTIFIER_TRAITS}


def _cells(tx: Transaction, staged: Staged) -> list[Cell]:
    """The traits of the file, those first seen in it with the type that all their values have."""
    told = {name: column for name, column in staged.columns.items() if name != EXTERNAL_ID}
    known = trait_types(tx)
    new = [name for name in told if name not in known]
    open_to = [name for name in new if name not in IDENTIFIER_TRAITS and name not in staged.typed]
    found = infer(tx, [Question(name, told[name], guesses(staged.native[name])) for name in open_to])
    types = {name: kind.type for (_, name), kind in found.items()}
    clean = {name for (_, name), kind in found.items() if kind.clean} | staged.typed.keys()
    fixed = {name: staged.typed.get(name, TraitType.TEXT) for name in new if name not in open_to}
    traits = ensure_traits(tx, types | fixed)
    return [
        Cell(traits[name], column, name in staged.typed, name in clean)
        for name, column in told.items()
        if name in traits
    ]


def _reject_misfits(tx: Transaction, staged: Staged, cells: list[Cell]) -> None:
    typed = [cell for cell in cells if not cell.clean and cell.trait.type is not TraitType.TEXT]
    staged.reject_misfits(
        tx,
        [
            Misfit(misfit(cell.trait.type, cell.column), f"is not {FORMS[cell.trait.type].article}", cell.trait.name)
            for cell in typed
        ],
    )


def _drop_absent(tx: Transaction, staged: Staged, *, approve: bool) -> int:
    """Let everybody go whom a snapshot lacks; a row that was rejected still names its person."""
    named = f"SELECT {staged.columns[EXTERNAL_ID]} FROM staged UNION ALL SELECT key FROM spared"
    tx.execute(
        f"CREATE TEMP TABLE leaving AS SELECT p.pid FROM profiles p WHERE NOT EXISTS (SELECT 1 FROM ({named}) "
        "AS named(key) WHERE named.key = p.external_id)"
    )
    [(leaving, total)] = tx.rows("SELECT (SELECT count(*) FROM leaving), (SELECT count(*) FROM profiles)")
    if leaving and not approve:
        _brake(leaving, total, staged.nameless)
    forget(tx, "leaving")
    return int(leaving)


def _brake(leaving: int, total: int, nameless: int) -> None:
    if nameless:
        raise refuse(
            ErrorCode.POLICY,
            f"{leaving} profiles are not in this snapshot, but {nameless} of its rows cannot be read and may be "
            "theirs. Mend the rows, or approve the import if the profiles should go.",
            "snapshot",
            suggestion="approve",
        )
    if leaving > BRAKE * total:
        raise refuse(
            ErrorCode.POLICY,
            f"This snapshot would drop {leaving} of {total} profiles, more than {BRAKE:.0%}. Approve the import if "
            "they should go.",
            "snapshot",
            suggestion="approve",
        )


def forget(tx: Transaction, pids: str) -> None:
    """Remove the people in the relation `pids` (column `pid`) with all that is known of them. Their memberships go
    with the next evaluation, which counts them as left."""
    for table in ("profiles", "identifiers", "events", "consent"):
        tx.execute(f"DELETE FROM {table} WHERE pid IN (SELECT pid FROM {pids})")
    tx.execute(
        f"UPDATE projection SET generation = generation + 1 WHERE name = 'consent' AND EXISTS (SELECT 1 FROM {pids})"
    )


def _merge_repeated(tx: Transaction, staged: Staged) -> None:
    """Make one row of all that the file says of one person; `every_row` keeps what it said line by line."""
    key = staged.columns[EXTERNAL_ID]
    tx.execute(
        f"CREATE TEMP TABLE repeated AS SELECT {key} AS key, count(*) AS rows FROM staged GROUP BY {key} "
        "HAVING count(*) > 1"
    )
    tx.execute(f"CREATE TEMP TABLE every_row AS SELECT * FROM staged WHERE {key} IN (SELECT key FROM repeated)")
    if not tx.rows("SELECT 1 FROM repeated LIMIT 1"):
        return
    tx.execute(f"DELETE FROM staged WHERE {key} IN (SELECT key FROM repeated)")
    columns = {name: column for name, column in staged.columns.items() if column != key}
    names = "".join(f", {column}" for column in columns.values())
    latest = "".join(f", {_last(column, typed=name in staged.typed)}" for name, column in columns.items())
    tx.execute(f"INSERT INTO staged (line, {key}{names}) SELECT max(line), {key}{latest} FROM every_row GROUP BY {key}")


def _last(column: str, *, typed: bool) -> str:
    """The last line's word: null of a text says that a line had none."""
    told = "" if typed else f" FILTER (WHERE {column} IS NOT NULL)"
    return f"(array_agg({column} ORDER BY line DESC){told})[1]"


def _touch(tx: Transaction, staged: Staged, cells: list[Cell]) -> None:
    """Which rows change something: `touched` (line, pid, fresh). A new person's pid follows from the line, so that
    people are numbered in the order of the file."""
    first = take_numbers(tx, "next_pid", staged.last_line + 1)
    differs = " OR ".join(cell.differs for cell in cells) or "FALSE"
    tx.execute(
        "CREATE TEMP TABLE touched AS SELECT s.line, coalesce(p.pid, $first + s.line) AS pid, p.pid IS NULL AS fresh "
        f"FROM staged s LEFT JOIN profiles p ON p.external_id = s.{staged.columns[EXTERNAL_ID]} "
        f"WHERE p.pid IS NULL OR {differs} OR s.{staged.columns[EXTERNAL_ID]} IN (SELECT key FROM unheard)",
        {"first": first},
    )


def _write(tx: Transaction, staged: Staged, cells: list[Cell], now: datetime) -> None:
    names = "".join(f', "{cell.trait.column}"' for cell in cells)
    values = "".join(f", {cell.value}" for cell in cells)
    kept = "".join(f', {cell.kept_or_new} AS "{cell.trait.column}"' for cell in cells)
    told = {cell.trait.column for cell in cells}
    rest = [column for (column,) in tx.rows("SELECT column_name FROM traits") if column not in told]
    silent = "".join(f', p."{column}"' for column in rest)
    others = "".join(f', "{column}"' for column in rest)
    tx.execute(
        "CREATE TEMP TABLE renewed AS SELECT p.pid, p.external_id, p.first_seen, CAST($now AS TIMESTAMP) AS changed_at"
        f"{kept}{silent} FROM touched t JOIN profiles p ON p.pid = t.pid JOIN staged s ON s.line = t.line "
        "WHERE NOT t.fresh",
        {"now": now},
    )
    tx.execute("DELETE FROM profiles WHERE pid IN (SELECT pid FROM renewed)")
    tx.execute(f"INSERT INTO profiles (pid, external_id, first_seen, changed_at{names}{others}) SELECT * FROM renewed")
    tx.execute(
        f"INSERT INTO profiles (pid, external_id, first_seen, changed_at{names}) "
        f"SELECT t.pid, s.{staged.columns[EXTERNAL_ID]}, CAST($now AS TIMESTAMP), CAST($now AS TIMESTAMP){values} "
        "FROM touched t JOIN staged s ON s.line = t.line WHERE t.fresh",
        {"now": now},
    )

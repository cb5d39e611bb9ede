"""Sorting the rows of a block into those that go on and those that do not, before any of them is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from hub.core.identifier_columns import normalise_column
from hub.core.imports import Rejection, Shape
from hub.warehouse.files.block import DAMAGE, Block


@dataclass(slots=True)
class Sieve:
    """Sorts the rows of one block into those that go on and those that are rejected, with the first reason found."""

    block: Block
    shape: Shape
    reasons: dict[int, tuple[str, str | None]] = field(default_factory=dict)

    def sifted(self, *, damaged: bool) -> Sifted:
        columns = dict(self.block.columns)
        blank: list[int] = []
        if damaged:
            self._check_text(columns)
        for name in self.shape.required:
            lacking = self._lacking(columns.get(name))
            blank = self._blank(columns, lacking) if lacking and not blank else blank
            self._note(lacking, f"has no {name}", name)
        for name, kind in self.shape.identifiers.items():
            if name in self.block.nested:
                self._note(_positions(self.block.nested[name]), "is a list or an object, and must be a text", name)
            if name in columns:
                columns[name] = self._normalised(name, kind, columns[name])
        return self._split(columns, set(blank))

    def _check_text(self, columns: Mapping[str, pa.Array]) -> None:
        for name, column in columns.items():
            hurt = pc.indices_nonzero(pc.fill_null(pc.match_substring(column, DAMAGE), False)).to_pylist()
            self._note(hurt, "is not UTF-8 text", name)

    def _lacking(self, column: pa.Array | None) -> list[int]:
        if column is None:
            return list(range(len(self.block.line)))
        return _positions(pc.equal(pc.fill_null(column, ""), ""))

    def _blank(self, columns: Mapping[str, pa.Array], lacking: list[int]) -> list[int]:
        """Rows with nothing in any cell: empty lines, which are no rows at all."""
        if not self.block.blank_lines:
            return []
        return [one for one in lacking if all(not column[one].as_py() for column in columns.values())]

    def _normalised(self, name: str, kind: str, column: pa.Array) -> pa.Array:
        found = normalise_column(kind, column, self.shape.region)
        for position, reason in found.reasons.items():
            self.reasons.setdefault(position, (reason, name))
        return pc.if_else(pc.equal(column, ""), "", found.values)

    def _note(self, positions: list[int], reason: str, column: str) -> None:
        for position in positions:
            self.reasons.setdefault(position, (reason, column))

    def _split(self, columns: dict[str, pa.Array], blank: set[int]) -> Sifted:
        if not self.reasons:
            return Sifted(self.block.line, columns)
        out = sorted(self.reasons.keys() - blank)
        line = self.block.line
        rejections = [Rejection(line[at].as_py(), *self.reasons[at]) for at in out]
        key = columns.get(self.shape.required[0]) if self.shape.required else None
        known = [value for at in out if key is not None and (value := key[at].as_py())]
        kept = pa.array([at not in self.reasons for at in range(len(line))], pa.bool_())
        left = {name: column.filter(kept) for name, column in columns.items()}
        return Sifted(line.filter(kept), left, rejections, known, len(out) - len(known), len(blank))


@dataclass(frozen=True, slots=True)
class Sifted:
    line: pa.Array
    columns: dict[str, pa.Array]
    rejections: list[Rejection] = field(default_factory=list)
    spared: list[str] = field(default_factory=list)
    nameless: int = 0
    blank: int = 0


def _positions(mask: pa.Array) -> list[int]:
    positions: list[int] = pc.indices_nonzero(mask).to_pylist()
    return positions

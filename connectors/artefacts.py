"""What the connectors that write files have in common: how people become lines of CSV or JSON, and names folders."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from hub.sdk import ConnectorConfig

Mode = Literal["delta", "snapshot"]
MANIFEST = "manifest.json"

_HARMLESS_NUMBER = re.compile(r"[+-]?[0-9][0-9.]*")


class ArtefactConfig(ConnectorConfig):
    format: Literal["csv", "ndjson"] = Field("csv", description="CSV after RFC 4180, or one JSON object a line.")
    identifier: Literal["external_id", "email", "phone", "device_id", "ad_id", "push_token", "user_id"] = Field(
        "external_id", description="What names a person in the file; external_id makes the column `id`."
    )
    formula_guard: bool = Field(
        True, description="Put ' before CSV text that a spreadsheet may run as a formula: = + - @, a tab, a line end."
    )

    @property
    def key_column(self) -> str:
        return "id" if self.identifier == "external_id" else self.identifier

    def own_columns(self, mode: Mode) -> list[str]:
        return [self.key_column, "audience_action"] if mode == "delta" else [self.key_column]

    def columns(self, mode: Mode, fields: Iterable[str]) -> list[str]:
        """The hub's own first, then those of the people, sorted."""
        own = self.own_columns(mode)
        return [*own, *sorted(set(fields) - set(own))]

    def row(self, mode: Mode, key: str, present: bool, fields: Mapping[str, Any]) -> dict[str, Any]:
        own = dict(zip(self.own_columns(mode), (key, present), strict=False))
        return {**own, **fields, **own}  # twice: the hub's columns come first, and nothing replaces them

    def lines(self, rows: Iterable[Mapping[str, Any]], columns: list[str]) -> Iterator[bytes]:
        return _as_csv(rows, columns, self.formula_guard) if self.format == "csv" else _as_ndjson(rows)


def folder_name(name: str) -> str:
    """The name itself where it is a plain word; else its plain letters and a hash, so that no two names meet."""
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}", name):
        return name
    plain = re.sub(r"[^A-Za-z0-9_]+", "-", name)[:40].strip("-")
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:12]}".lstrip("-")


def as_manifest(about: Mapping[str, Any]) -> bytes:
    return json.dumps(about, indent=2, ensure_ascii=False).encode() + b"\n"


def _as_csv(rows: Iterable[Mapping[str, Any]], columns: list[str], guard: bool) -> Iterator[bytes]:
    line = _Line()
    writer = csv.writer(line, lineterminator="\r\n")
    writer.writerow([_cell(column, guard) for column in columns])
    yield line.taken()
    for row in rows:
        writer.writerow([_cell(row.get(column), guard) for column in columns])
        yield line.taken()


class _Line:
    """Where the csv module writes one line at a time."""

    text = ""

    def write(self, text: str) -> None:
        self.text += text

    def taken(self) -> bytes:
        taken, self.text = self.text, ""
        return taken.encode()


def _cell(value: Any, guard: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, list | tuple) else str(value)
    return f"'{text}" if guard and _runs(text) else text


def _runs(text: str) -> bool:
    """Whether a spreadsheet may take the text for a formula."""
    begins = text.startswith(("\t", "\r", "\n")) or text.lstrip().startswith(("=", "+", "-", "@"))
    return begins and not _HARMLESS_NUMBER.fullmatch(text)


def _as_ndjson(rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    for row in rows:
        yield json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

"""What an import is told and what it answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hub.core.records import TraitType
from hub.errors import ErrorCode


class ImportKind(StrEnum):
    PROFILES = "profiles"
    EVENTS = "events"
    CONSENTS = "consents"


class FileFormat(StrEnum):
    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


CONTENT_TYPES: Mapping[str, FileFormat] = {
    "text/csv": FileFormat.CSV,
    "application/csv": FileFormat.CSV,
    "application/x-ndjson": FileFormat.NDJSON,
    "application/ndjson": FileFormat.NDJSON,
    "application/jsonl": FileFormat.NDJSON,
    "application/x-jsonlines": FileFormat.NDJSON,
    "application/vnd.apache.parquet": FileFormat.PARQUET,
    "application/x-parquet": FileFormat.PARQUET,
}

SUFFIXES: Mapping[str, FileFormat] = {
    ".csv": FileFormat.CSV,
    ".tsv": FileFormat.CSV,
    ".ndjson": FileFormat.NDJSON,
    ".jsonl": FileFormat.NDJSON,
    ".parquet": FileFormat.PARQUET,
}


@dataclass(frozen=True, slots=True)
class Rejection:
    """One row that did not go in. `line` counts from 1 (a Parquet file has rows instead); no value is repeated."""

    line: int
    reason: str
    column: str | None = None
    code: ErrorCode = ErrorCode.INVALID


@dataclass(frozen=True, slots=True)
class ImportReport:
    """accepted + unchanged + rejected = the rows of the file. `rejections` lists the first ones by line and is
    `truncated` when there were more than it holds; `removed` counts the profiles that a snapshot let go."""

    accepted: int = 0
    unchanged: int = 0
    rejected: int = 0
    rejections: tuple[Rejection, ...] = ()
    truncated: bool = False
    removed: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """What a kind of file has to have: `required` columns must be filled in every row; `identifiers` (column → kind)
    are normalised while they are read; `region` reads phone numbers that lack a country code; `types` says of which
    type the values of a column are, as far as it is known."""

    required: tuple[str, ...] = ()
    identifiers: Mapping[str, str] = field(default_factory=dict)
    region: str | None = None
    types: Mapping[str, TraitType] = field(default_factory=dict)

    def possible(self, column: str) -> Collection[TraitType]:
        """The types that its values may turn out to have."""
        if column in self.types:
            return (self.types[column],)
        return (TraitType.TEXT,) if column in self.required or column in self.identifiers else tuple(TraitType)

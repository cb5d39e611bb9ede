"""What every reader of files yields, and the tape that counts and hashes what it reads."""

from __future__ import annotations

import codecs
import hashlib
import io
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from hub.core.imports import Rejection
from hub.errors import ErrorCode, HubError, refuse

BLOCK_BYTES = 1 << 20
MOST_COLUMNS = 2000
LONGEST_NAME = 200
# A code point that Unicode guarantees will never be a character.
DAMAGE = "\ufdd0"


class Native(StrEnum):
    """How a file itself says what a value is; a CSV has nothing but cells."""

    CELL = "cell"
    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    LIST = "list"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows. `line` and `columns` (each text) are of one length: null where the row lacks the column, `''` where
    it is empty or null. `rejections` are of rows that could not be read at all. Under `blank_lines` a row with nothing
    in any cell is an empty line of the file, and no row. `nested` says of the columns that hold lists or objects in
    which rows they do."""

    line: pa.Array
    columns: dict[str, pa.Array]
    native: dict[str, frozenset[Native]] = field(default_factory=dict)
    rejections: tuple[Rejection, ...] = ()
    blank_lines: bool = False
    nested: Mapping[str, pa.Array] = field(default_factory=dict)


class FileReader(Protocol):
    def __call__(self, path: Path, tape: Tape) -> Generator[Block, None, None]:
        """Raises HubError INVALID for a file that cannot be read as a whole."""


class Tape(io.RawIOBase):
    """The file as text is read from it: how many bytes so far, their hash, and how many quotes they held.

    Bytes that are not UTF-8, and NUL, come out as `DAMAGE`, so that the parsers go on and the row can be rejected.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._hash = hashlib.sha256()
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="hub.damage")
        self._ready = b""
        self._ended = False
        self.bytes = 0
        self.quotes = 0
        self.damaged = False

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Exactly `size` bytes but at the end: Arrow takes a short answer for a whole block."""
        wanted = -1 if size is None else size
        while (wanted < 0 or len(self._ready) < wanted) and not self._ended:
            chunk = self._file.read(wanted)
            self._ended = not chunk
            self._ready += self._taken(chunk)
        out, self._ready = (self._ready, b"") if wanted < 0 else (self._ready[:wanted], self._ready[wanted:])
        return out

    def _taken(self, chunk: bytes) -> bytes:
        self._hash.update(chunk)
        self.bytes += len(chunk)
        self.quotes += chunk.count(b'"')
        if chunk.isascii() and b"\0" not in chunk and not self._decoder.getstate()[0]:
            return chunk
        return self._repaired(self._decoder.decode(chunk, final=self._ended))

    def _repaired(self, text: str) -> bytes:
        if "\0" in text:
            text = text.replace("\0", DAMAGE)
        self.damaged = self.damaged or DAMAGE in text
        return text.encode()

    def close(self) -> None:
        self._file.close()
        super().close()

    @property
    def hash(self) -> str:
        return self._hash.hexdigest()


def _mark(problem: UnicodeError) -> tuple[str, int]:
    if not isinstance(problem, UnicodeDecodeError):
        raise problem
    return DAMAGE, problem.end


codecs.register_error("hub.damage", _mark)


def range_of(first: int, count: int) -> pa.Array:
    """The numbers from `first` on, as many as `count`."""
    return pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int64()), count), start=first - 1)


def check_names(names: list[str]) -> None:
    """Refuse a header that cannot be the names of columns."""
    if len(names) > MOST_COLUMNS:
        raise unreadable(f"The file has {len(names)} columns; the most is {MOST_COLUMNS}.")
    for name in names:
        if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
            raise unreadable(
                f"Column {names.index(name) + 1} has no usable name: names are printable, not empty and at most "
                f"{LONGEST_NAME} characters long. The first line of a CSV file must be its header."
            )
    if twice := next((name for at, name in enumerate(names) if name in names[:at]), None):
        raise unreadable(f"The column {twice!r} appears twice.")


def unreadable(message: str, line: int | None = None) -> HubError:
    return refuse(ErrorCode.INVALID, message, "file", line=line)

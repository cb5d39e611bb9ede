"""What a request looked like, without anything of a person in it: paths as templates, bodies as shapes.

A word is shown only if it is in the vocabulary, which is what the connector's own code says and what the admin mapped.
Everything else, be it an address, its hash or a vendor's id, is `{…}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

HIDDEN = "{…}"
DEEPEST = 6
# Parts of a body that are looked at, so that its shape costs microseconds however large it is.
MOST_PARTS = 120
MOST_KEYS = 40


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The segments of paths and the keys of objects that may be shown."""

    segments: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()

    def with_keys(self, more: Iterable[str]) -> Vocabulary:
        return Vocabulary(self.segments, self.keys | frozenset(more))


def template(rest: str, known: Vocabulary) -> str:
    """The path and query of a URL as a template: `/lists/{…}/members?{…}`."""
    path, asked, _ = rest.partition("?")
    shown = "/".join(part if not part or part in known.segments else HIDDEN for part in path.split("/"))
    return f"{shown}?{HIDDEN}" if asked else shown


def shape(value: Any, known: Vocabulary) -> str:
    """Keys, types and lengths: `{"members":[1000 × {"email_address":"string"}]}`, an array by its first element."""
    return _Drawing(known).of(value, DEEPEST)


class _Drawing:
    def __init__(self, known: Vocabulary) -> None:
        self._known = known.keys
        self._left = MOST_PARTS

    def of(self, value: Any, depth: int) -> str:
        self._left -= 1
        match value:
            case None:
                return "null"
            case bool():
                return '"boolean"'
            case int() | float():
                return '"number"'
            case str() | bytes():
                return '"string"'
            case Mapping():
                return self._object(value, depth)
            case list() | tuple():
                return self._array(value, depth)
        return '"other"'

    def _array(self, value: list[Any] | tuple[Any, ...], depth: int) -> str:
        if not value:
            return "[]"
        return f"[{len(value)} × {self.of(value[0], depth - 1) if self._may_look(depth) else '…'}]"

    def _object(self, value: Mapping[Any, Any], depth: int) -> str:
        if not value:
            return "{}"
        if not self._may_look(depth):
            return "{…}"
        shown, hidden = [], len(value)
        for looked, (key, held) in enumerate(value.items()):
            if looked == MOST_KEYS or self._left <= 0:
                break
            if key in self._known:
                shown.append(f'"{key}":{self.of(held, depth - 1)}')
                hidden -= 1
        return "{" + ",".join([*shown, f"{hidden} × {HIDDEN}"] if hidden else shown) + "}"

    def _may_look(self, depth: int) -> bool:
        return depth > 0 and self._left > 0

"""What a vendor says about a person, without the person in it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hub.sdk.contract import Person

_LONGEST = 200
_TELLTALE = re.compile(
    r"[^\s<>\"'(),;:]+@[^\s<>\"'(),;]+"  # anything like an e-mail address
    r"|\b[0-9a-fA-F]{32,}\b"  # a hash of an address
    r"|\+?(?<!\w)\d[\d\s().-]{6,}\d(?!\w)"  # anything like a telephone number
)


def scrubbed(text: object, *people: Person) -> str:
    """A vendor's reason in at most 200 characters, with all that is known of `people`, and all that looks like an
    address of anybody, left out."""
    reason = " ".join(str(text).split())
    told = {value for person in people for value in _told_by(person) if len(value) > 1}
    for value in sorted(told, key=len, reverse=True):
        reason = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "…", reason, flags=re.IGNORECASE)
    return _TELLTALE.sub("…", reason)[:_LONGEST]


def _told_by(person: Person) -> Iterator[str]:
    yield from (person.key, person.id, person.value)
    for value in person.fields.values():
        if isinstance(value, bool) or value is None:
            continue
        yield from [str(value)] if isinstance(value, str | int | float) else map(str, value)

"""Opaque global ids and cursors: what a client holds on to without knowing what is inside."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode

from strawberry import ID

from hub.errors import ErrorCode, refuse

LARGEST = 2**63 - 1


def global_id(noun: str, number: int) -> ID:
    """The id of a stored thing on the schema, such as Segment 12."""
    return ID(_packed(f"{noun}:{number}"))


def read_id(value: str) -> tuple[str, int] | None:
    """Noun and number behind a global id, or None for anything that is not one."""
    noun, _, number = _unpacked(value).partition(":")
    if not noun or not (number.isascii() and number.isdigit()) or int(number[:20]) > LARGEST:
        return None
    return noun, int(number)


def number_of(value: str, noun: str, *path: str) -> int:
    """The number behind the id of a `noun`; HubError NOT_FOUND for any other id."""
    read = read_id(value)
    if read is None or read[0] != noun:
        spoken = "".join(f" {char.lower()}" if char.isupper() else char for char in noun).strip()
        raise refuse(ErrorCode.NOT_FOUND, f"No {spoken} has this id.", *path)
    return read[1]


def cursor(listed: str, position: int) -> str:
    """A place in one list, which `listed` tells from every other."""
    return _packed(f"{listed}:{position}")


def position_of(value: str | None, listed: str) -> int | None:
    """The position behind a cursor of that list, None to begin at the start; HubError INVALID for anything else."""
    if value is None:
        return None
    read = read_id(value)
    if read is None or read[0] != listed:
        raise refuse(ErrorCode.INVALID, "This is no cursor of this list: take one from `pageInfo` or `edges`.", "after")
    return read[1]


def _packed(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _unpacked(value: str) -> str:
    try:
        return urlsafe_b64decode(value.encode() + b"=" * (-len(value) % 4)).decode()
    except (binascii.Error, UnicodeError, ValueError):
        return ""

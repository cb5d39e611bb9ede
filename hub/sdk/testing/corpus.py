"""Answers that mean nothing although their status is 2xx, and request fields that would change a subscription."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from typing import Any

GARBAGE: tuple[bytes, ...] = (
    b"",
    b" \r\n",
    b"OK",
    b"null",
    b"true",
    b"0",
    b'"accepted"',
    b"[]",
    b"[[]]",
    b'["ok"]',
    b"{}",
    b"{",
    b'{"ok":',
    b'{"id"',
    b"{'id': 1}",
    b'{"id": 1}{"id": 2}',
    b'{"id": NaN}',
    b"<!doctype html><html><body>Please sign in</body></html>",
    b"<?xml version='1.0'?><ok/>",
    b"<html><head><title>502 Bad Gateway</title></head></html>",
    b"upstream connect error or disconnect/reset before headers",
    b"%PDF-1.7",
    b"\x00" * 16,
    b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf{}",
    b"\xc3\x28",
    # Without the time, which would make it another body in each process.
    gzip.compress(b'{"ok": true}', mtime=0),
    b"[" * 5000,
    b'{"a":' * 5000,
    b"data: {}\n\n",
    b"callback({})",
    b"ok=true",
    b'{"error": "internal"}',
    b'{"errors": "internal"}',
    b'{"success": false}',
    b'{"status": "error", "message": "internal"}',
)

NOT_JSON_OBJECTS = tuple(body for body in GARBAGE if body.strip() and not body.startswith(b'{"') and body != b"{}")
"""Those that no reading takes for an accepted request: for vendors who say nothing where all went well."""

_SUBSCRIBING_WORDS = re.compile(r"subscri|opt_?in|consent|newsletter|blacklist|marketing_permission", re.IGNORECASE)
_HARMLESS = {"status_if_new", "unsubscribed_at"}
_SUBSCRIBING_STATES = {"subscribed", "pending", "opted_in", "resubscribed"}
# What other vendors call a subscriber, where it is said of a status: elsewhere these are words like any others.
_STATUS = re.compile(r"(\w+_)?(status|state)", re.IGNORECASE)
_ACTIVE_STATES = {"active", "confirmed", "enabled"}
_SUBSCRIBING_PATH = re.compile(r"subscription-bulk|/subscribe\b|/opt-?in|resubscribe", re.IGNORECASE)


def truncated(body: bytes) -> Iterator[bytes]:
    """A true answer cut short at a few places."""
    for share in (0.3, 0.6, 0.95):
        yield body[: int(len(body) * share)]


def resubscribing(path: str, body: bytes, harmless: frozenset[str] = frozenset()) -> list[str]:
    """What in a request could change somebody's subscription: names of fields, or the path."""
    found = [path] if _SUBSCRIBING_PATH.search(path) and path not in harmless else []
    try:
        found += [name for name in _subscribing_fields(json.loads(body)) if name not in harmless]
    except ValueError:
        found += [match.group() for match in _SUBSCRIBING_WORDS.finditer(body.decode(errors="replace"))]
    return found


def _subscribing_fields(value: Any) -> list[str]:
    if isinstance(value, list):
        return [name for item in value for name in _subscribing_fields(item)]
    if not isinstance(value, dict):
        return []
    named = [name for name, item in value.items() if name not in _HARMLESS and _subscribes(name, item)]
    return [*named, *(name for item in value.values() for name in _subscribing_fields(item))]


def _subscribes(name: str, item: Any) -> bool:
    if _SUBSCRIBING_WORDS.search(name):
        return True
    states = _SUBSCRIBING_STATES | (_ACTIVE_STATES if _STATUS.fullmatch(name) else set())
    return isinstance(item, str) and item.lower() in states

"""Keys: what an admin calls a stored noun, chosen once and never changed."""

from __future__ import annotations

import re

from hub.errors import ErrorCode, Problem

LONGEST_KEY = 100
LONGEST_NAME = 300
SLUG = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{LONGEST_KEY - 1}}}")


def key_problems(key: str) -> list[Problem]:
    """What is wrong with a new key, if anything."""
    if SLUG.fullmatch(key):
        return []
    message = (
        f"The key must be a slug: up to {LONGEST_KEY} letters, digits, '-', '_' or '.', the first a letter or digit."
    )
    return [Problem(ErrorCode.INVALID, message, ("input", "key"))]


def name_problems(name: str) -> list[Problem]:
    """What is wrong with a name for people, if anything."""
    if name.strip() and len(name) <= LONGEST_NAME and "\x00" not in name:
        return []
    return [Problem(ErrorCode.INVALID, f"The name must have 1 to {LONGEST_NAME} characters.", ("input", "name"))]

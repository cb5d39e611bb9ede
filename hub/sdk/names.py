"""An audience's name in the words that a vendor allows."""

from __future__ import annotations

import hashlib
import re


def plain_word(name: str, *, joint: str = "_", most: int = 60) -> str:
    """Lower-case letters and digits, joined by `joint`: as a tag, an attribute or a role. Where that loses something,
    a hash behind it, beyond `most` characters, keeps two names apart; a plain word stays as it is."""
    word = re.sub(r"[^a-z0-9]+", joint, name.lower()).strip(joint)[:most]
    return word if word == name else f"{word}{joint}{hashlib.sha256(name.encode()).hexdigest()[:8]}"

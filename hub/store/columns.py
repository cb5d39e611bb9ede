"""Column types of the control plane that Tortoise does not have."""

from __future__ import annotations

from tortoise import fields


class Digest(fields.BinaryField[bytes]):
    """A hash as bytes. Unlike Tortoise's own binary field it may be indexed: SQLite and PostgreSQL both can."""

    indexable = True

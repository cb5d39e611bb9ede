"""A `Problem` as JSON and back: why a destination is paused, why a run failed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from hub.errors import ErrorCode, Problem


def to_json(problem: Problem | None) -> dict[str, Any] | None:
    return asdict(problem) if problem else None


def from_json(value: dict[str, Any] | None) -> Problem | None:
    if value is None:
        return None
    return Problem(**{**value, "code": ErrorCode(value["code"]), "path": tuple(value["path"])})

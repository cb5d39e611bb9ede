"""Causes and notices as JSON and back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from hub.core.alerts.health import Cause, CauseKind
from hub.core.alerts.wording import Notice, NoticeKind
from hub.errors import ErrorCode


def from_causes(causes: Iterable[Cause]) -> list[dict[str, Any]]:
    return [
        {
            "kind": cause.kind.value,
            "since": cause.since.isoformat(),
            "figure": cause.figure,
            "code": cause.code.value if cause.code else None,
        }
        for cause in causes
    ]


def to_causes(rows: Iterable[dict[str, Any]]) -> tuple[Cause, ...]:
    return tuple(
        Cause(
            CauseKind(row["kind"]),
            datetime.fromisoformat(row["since"]),
            row["figure"],
            ErrorCode(row["code"]) if row["code"] else None,
        )
        for row in rows
    )


def from_notice(notice: Notice) -> dict[str, Any]:
    return {
        "id": notice.id,
        "kind": notice.kind.value,
        "at": notice.at.isoformat(),
        "sync": notice.sync,
        "destination": notice.destination,
        "causes": from_causes(notice.causes),
        "bad_since": notice.bad_since.isoformat() if notice.bad_since else None,
    }


def to_notice(row: dict[str, Any]) -> Notice:
    return Notice(
        row["id"],
        NoticeKind(row["kind"]),
        datetime.fromisoformat(row["at"]),
        row["sync"],
        row["destination"],
        to_causes(row["causes"]),
        datetime.fromisoformat(row["bad_since"]) if row["bad_since"] else None,
    )

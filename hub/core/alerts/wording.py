"""A notice in words: which sync, what is wrong, since when, what to do.

Only our own words and the admin's keys: what a vendor said, and whoever it was about, stays in the hub.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from hub.core.alerts.health import Cause, CauseKind, Health, HealthState
from hub.errors import ErrorCode

WHY = {
    ErrorCode.DESTINATION_AUTH: "the destination does not accept our credentials",
    ErrorCode.DESTINATION_UNREACHABLE: "the destination could not be reached",
    ErrorCode.EGRESS_DENIED: "the hub may not call the destination's address",
    ErrorCode.POLICY: "a rule of the house asks for it",
}
TO_DO = {
    CauseKind.RUNS_FAILED: "See the failure of the sync's last run; where it has a schedule, it is tried again.",
    CauseKind.REMOVALS_FAILED: "See the sync's last runs at once: people who withdrew may still be in the audience.",
    CauseKind.REJECTED: "See `rejected` of the sync for the vendor's reasons, and correct the data or the mapping.",
    CauseKind.PENDING: "They go with the next run; if that leaves them again, see the vendor's state.",
    CauseKind.WITHHELD: "See `withheld` of the last run for the reasons.",
    CauseKind.DRIFTED: "See `lastAudit` of the sync, and find out who else changes the audience; a run puts it right.",
    CauseKind.DESTINATION_PAUSED: "See `pausedReason` of the destination, put it right, check it and resume it.",
    CauseKind.WAITING_APPROVAL: "Look at the run's counts, then approve or cancel it.",
    CauseKind.OVERDUE: "See whether a worker is at work, and whether the sync's last run goes on.",
}


class NoticeKind(StrEnum):
    TURNED_BAD = "sync.turned_bad"
    RECOVERED = "sync.recovered"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Notice:
    """What one turn says. `id` is the same on every attempt and in every channel, so that a repeat can be told."""

    id: str
    kind: NoticeKind
    at: datetime
    sync: str = ""
    destination: str = ""
    causes: tuple[Cause, ...] = ()
    bad_since: datetime | None = None


def notice_of(id: str, sync: str, destination: str, before: Health, after: Health) -> Notice:
    """The notice of a turn from `before` to `after`."""
    if after.state is HealthState.BAD:
        return Notice(id, NoticeKind.TURNED_BAD, after.since, sync, destination, after.causes)
    return Notice(id, NoticeKind.RECOVERED, after.since, sync, destination, bad_since=before.since)


def title(notice: Notice) -> str:
    match notice.kind:
        case NoticeKind.TURNED_BAD:
            return f"The sync “{notice.sync}” needs attention"
        case NoticeKind.RECOVERED:
            return f"The sync “{notice.sync}” is well again"
    return "A test of this alert channel"


def text(notice: Notice) -> str:
    """The whole notice, a few lines."""
    return "\n".join([f"{title(notice)}.", *_lines(notice)]) + "\n"


def cause_text(cause: Cause) -> str:
    """What is wrong, in one sentence without its end."""
    match cause.kind:
        case CauseKind.RUNS_FAILED:
            return f"{_runs(cause)} failed{_because(cause)}"
        case CauseKind.REMOVALS_FAILED:
            return f"{_runs(cause)} to remove people who withdrew did not get everybody out{_because(cause)}"
        case CauseKind.REJECTED:
            return f"the destination refused {_share(cause)} of the people in the last run"
        case CauseKind.PENDING:
            return f"the last run left {_share(cause)} of the people undelivered"
        case CauseKind.WITHHELD:
            return f"the last run withheld {_share(cause)} of the members"
        case CauseKind.DRIFTED:
            return f"the last audit found the audience changed by others, by {_share(cause)}"
        case CauseKind.DESTINATION_PAUSED:
            return f"the hub has paused the destination{_because(cause)}"
        case CauseKind.WAITING_APPROVAL:
            return "a run waits for approval, since it would remove a large share of the audience"
    return "no run has got to its end when one was due"


def as_json(notice: Notice) -> dict[str, Any]:
    """The notice as receivers of webhooks get it."""
    causes = [
        {
            "kind": cause.kind.value,
            "since": cause.since.isoformat(),
            "message": cause_text(cause),
            "to_do": TO_DO[cause.kind],
        }
        for cause in notice.causes
    ]
    about = {"sync": notice.sync, "destination": notice.destination, "causes": causes} if notice.sync else {}
    since = {"bad_since": notice.bad_since.isoformat()} if notice.bad_since else {}
    told = {"id": notice.id, "type": notice.kind.value, "at": notice.at.isoformat(), "title": title(notice)}
    return {**told, **about, **since, "text": text(notice)}


def _lines(notice: Notice) -> Iterator[str]:
    match notice.kind:
        case NoticeKind.TURNED_BAD:
            yield f"It goes to the destination “{notice.destination}”."
            for cause in notice.causes:
                yield f"- Since {_moment(cause.since)}: {cause_text(cause)}. {TO_DO[cause.kind]}"
            yield "Further trouble of this sync is shown in the hub and not told again. You hear once it is well."
        case NoticeKind.RECOVERED:
            since = f" It had been bad since {_moment(notice.bad_since)}." if notice.bad_since else ""
            yield f"Nothing crosses its thresholds any more, since {_moment(notice.at)}.{since}"
        case NoticeKind.TEST:
            yield "If you can read this, the hub's notices arrive. Nothing is wrong."


def _runs(cause: Cause) -> str:
    count = int(cause.figure or 1)
    return "the last run" if count == 1 else f"the last {count} runs"


def _because(cause: Cause) -> str:
    return f": {WHY[cause.code]}" if cause.code in WHY else ""


def _share(cause: Cause) -> str:
    return f"{(cause.figure or 0.0) * 100:.3g} %"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"

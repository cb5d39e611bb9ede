"""What a sync may be: every part of its input judged, each problem with its path."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from croniter import CroniterError, croniter

from hub.core.alerts.thresholds import MOST_RUNS, Thresholds
from hub.core.identifiers import KINDS
from hub.core.records import SyncMode
from hub.core.slug import LONGEST_NAME
from hub.errors import ErrorCode, Problem, nearest
from hub.sdk.contract import Capabilities
from hub.services.plans import OWN_ID
from hub.services.schedule import CONTINUOUS, MANUAL

LONGEST_FIELD = 200
CRON_FIELDS = 5
TOO_OFTEN = "A cron expression has five fields here: nothing runs more often than every minute."
LONGEST_WAIT_MINUTES = 60 * 24 * 366


def audience_problems(audience: str) -> Iterator[Problem]:
    if not audience.strip() or len(audience) > LONGEST_NAME or not audience.isprintable():
        yield _invalid(f"The audience must have a name of 1 to {LONGEST_NAME} printable characters.", "audience")


def purpose_problems(purposes: Sequence[str], known: Collection[str]) -> Iterator[Problem]:
    if not purposes:
        yield _invalid("Name at least one purpose: nobody is sent without one.", "purposes")
    for place, purpose in enumerate(purposes):
        if purpose not in known:
            path = ("input", "purposes", str(place))
            yield Problem(
                ErrorCode.NOT_FOUND, f"There is no purpose “{purpose}”.", path, suggestion=nearest(purpose, known)
            )
        elif purpose in purposes[:place]:
            yield _invalid(f"The purpose “{purpose}” is named twice.", "purposes", str(place))


def mode_problems(mode: SyncMode, connector: str, capabilities: Capabilities) -> Iterator[Problem]:
    """Every mode takes out whoever withdraws, so a vendor that cannot remove takes no sync at all."""
    if not capabilities.remove:
        said = f"{connector} cannot remove anybody, so nobody's withdrawal could be carried out there: choose another."
        yield Problem(ErrorCode.UNSUPPORTED, said, ("input", "destination"))
    elif mode is SyncMode.REPLACE and not capabilities.replace:
        said = f"{connector} cannot replace a whole audience at once: use MIRROR."
        yield Problem(ErrorCode.UNSUPPORTED, said, ("input", "mode"), suggestion=SyncMode.MIRROR.value)


def schedule_problems(schedule: str) -> Iterator[Problem]:
    if schedule in {MANUAL, CONTINUOUS}:
        return
    parts = schedule.split()
    if len(parts) > CRON_FIELDS:
        yield _invalid(TOO_OFTEN, "schedule")
    elif len(parts) < CRON_FIELDS or not _comes_round(schedule):
        meant = nearest(schedule, [MANUAL, CONTINUOUS])
        said = "The schedule must be manual, continuous, or a cron expression of five fields in UTC that comes round."
        yield Problem(ErrorCode.INVALID, said, ("input", "schedule"), suggestion=meant)


def audit_schedule_problems(schedule: str, connector: str, *, can_audit: bool) -> Iterator[Problem]:
    parts = schedule.split()
    if not can_audit:
        said = f"{connector} cannot say who is in an audience, nor how many, so it cannot be audited: leave it out."
        yield Problem(ErrorCode.UNSUPPORTED, said, ("input", "auditSchedule"))
    elif len(parts) > CRON_FIELDS:
        yield _invalid(TOO_OFTEN, "auditSchedule")
    elif len(parts) < CRON_FIELDS or not _comes_round(schedule):
        said = "Audits go by a cron expression of five fields in UTC that comes round; null for none by themselves."
        yield _invalid(said, "auditSchedule")


def field_problems(fields: Any, traits: Iterable[str]) -> Iterator[Problem]:
    """`traits` are those that are known; the identifiers and the person's own id may always be named."""
    if not isinstance(fields, Mapping):
        yield _invalid("`fields` must be an object from the vendor's field to a trait.", "fields")
        return
    known = {*traits, *KINDS, *OWN_ID}
    for field, trait in fields.items():
        if not field.strip() or len(field) > LONGEST_FIELD:
            yield _invalid(f"A vendor's field must have a name of 1 to {LONGEST_FIELD} characters.", "fields", field)
        elif not isinstance(trait, str):
            yield _invalid(f"The field “{field}” must name a trait.", "fields", field)
        elif trait not in known:
            path = ("input", "fields", field)
            said = f"There is no trait “{trait}”."
            yield Problem(ErrorCode.RULE_UNKNOWN_TRAIT, said, path, suggestion=nearest(trait, known))


def signal_problems(
    signals: Any, connector: str, known: Collection[str], purposes: Collection[str]
) -> Iterator[Problem]:
    """`known` are the signals that the connector sends along."""
    if not isinstance(signals, Mapping):
        yield _invalid("`signals` must be an object from the vendor's consent signal to a purpose.", "signals")
        return
    for signal, purpose in signals.items():
        path = ("input", "signals", signal)
        if signal not in known:
            said = f"{connector} has no consent signal “{signal}”; it has {', '.join(known) or 'none'}."
            yield Problem(ErrorCode.INVALID, said, path, suggestion=nearest(signal, known))
        elif purpose not in purposes:
            meant = nearest(str(purpose), purposes)
            yield Problem(ErrorCode.NOT_FOUND, f"There is no purpose “{purpose}”.", path, suggestion=meant)


def share_problems(share: float) -> Iterator[Problem]:
    if not (math.isfinite(share) and 0 <= share <= 1):
        yield _invalid("The share must lie between 0 and 1.", "maxRemovalShare")


def growth_problems(growth: float) -> Iterator[Problem]:
    if not (math.isfinite(growth) and growth >= 1):
        yield _invalid("An audience may grow at least 1 time as large; for no limit, give a large number.", "maxGrowth")


def rollout_problems(share: float) -> Iterator[Problem]:
    if not (math.isfinite(share) and 0 < share <= 1):
        yield _invalid("The share must be over 0 and at most 1; to send nobody, pause the sync.", "rolloutShare")


def threshold_problems(alerts: Thresholds) -> Iterator[Problem]:
    """What is off may be anything; the rest must be able to be crossed."""
    if alerts.failed_runs is not None and not 1 <= alerts.failed_runs <= MOST_RUNS:
        yield _invalid(f"Runs in a row are counted from 1 to {MOST_RUNS}; null looks away.", "alerts", "failedRuns")
    for name in ("rejected", "pending", "withheld", "drift"):
        share = getattr(alerts, f"{name}_share")
        if share is not None and not (math.isfinite(share) and 0 <= share < 1):
            said = "The share must be at least 0 and under 1, since more than it is bad; null looks away."
            yield _invalid(said, "alerts", f"{name}Share")
    for name in ("approval", "overdue"):
        minutes = getattr(alerts, f"{name}_minutes")
        if minutes is not None and not 0 <= minutes <= LONGEST_WAIT_MINUTES:
            said = f"The wait must be 0 to {LONGEST_WAIT_MINUTES} minutes; null looks away."
            yield _invalid(said, "alerts", f"{name}Minutes")


NUMBERS = {
    "max_removal_share": share_problems,
    "max_growth": growth_problems,
    "rollout_share": rollout_problems,
}


def _comes_round(schedule: str) -> bool:
    try:
        croniter(schedule, datetime(2000, 1, 1, tzinfo=UTC)).get_next(datetime)
    except (CroniterError, ValueError, KeyError, TypeError):
        return False
    return True


def _invalid(message: str, *path: str) -> Problem:
    return Problem(ErrorCode.INVALID, message, ("input", *path))

"""What a sync's runs say about its health."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import takewhile

from hub.core.alerts.health import Series, Shares
from hub.core.records import Run, RunStatus
from hub.core.scopes import Scope

ORDINARY = frozenset(scope for scope in Scope if scope is not Scope.WITHDRAWN and not scope.audits)
WHOLE = frozenset(scope for scope in Scope if scope.whole)
TO_THE_END = frozenset({RunStatus.SUCCEEDED, RunStatus.PARTIAL})


def failures(runs: Iterable[Run]) -> Series | None:
    """The ordinary runs, newest first, that failed since one got to its end. A cancelled one says nothing."""
    return _series(runs, lambda run: run.status is RunStatus.FAILED)


def failed_removals(removals: Iterable[Run], ordinary: Iterable[Run]) -> Series | None:
    """The runs for withdrawals, newest first, that left somebody there. An ordinary run that began after them and
    removed everybody has done their work."""
    cleared = max((run.started_at for run in ordinary if run.started_at and _removed_everybody(run)), default=None)
    later = [run for run in removals if cleared is None or _ended_at(run) >= cleared]
    return _series(later, lambda run: run.status is not RunStatus.SUCCEEDED)


def shares(ordinary: Iterable[Run]) -> Shares | None:
    """What the newest run over the whole audience that got to its end left undone."""
    newest = next((run for run in ordinary if run.scope in WHOLE and run.status in TO_THE_END), None)
    if newest is None:
        return None
    counts = newest.counts
    to_reach = counts.members - counts.withheld + counts.leavers
    return Shares(
        _ended_at(newest),
        rejected=_part(counts.rejected + counts.remove_rejected, to_reach),
        pending=_part(counts.pending + counts.remove_pending, to_reach),
        withheld=_part(counts.withheld, counts.members),
    )


def last_success(ordinary: Iterable[Run]) -> datetime | None:
    """When a run over the whole audience last got to its end, whoever was left undone."""
    return next((run.finished_at for run in ordinary if run.scope in WHOLE and run.status in TO_THE_END), None)


def waiting_since(active: Iterable[Run]) -> datetime | None:
    return _oldest(run for run in active if run.status is RunStatus.WAITING_APPROVAL)


def unfinished_since(active: Iterable[Run]) -> datetime | None:
    """Since when a run waits for a worker or is under way."""
    return _oldest(run for run in active if run.status is not RunStatus.WAITING_APPROVAL and run.scope in ORDINARY)


def _series(runs: Iterable[Run], failed: Callable[[Run], bool]) -> Series | None:
    telling = (run for run in runs if run.status is not RunStatus.CANCELLED)
    broken = list(takewhile(failed, telling))
    if not broken:
        return None
    newest, first = broken[0], broken[-1]
    return Series(len(broken), _ended_at(first), newest.failure.code if newest.failure else None)


def _removed_everybody(run: Run) -> bool:
    left = run.counts.remove_rejected + run.counts.remove_pending
    return run.scope in WHOLE and run.status in TO_THE_END and not left


def _ended_at(run: Run) -> datetime:
    assert run.finished_at is not None, "only runs that have ended are read"  # noqa: S101 - for the reader
    return run.finished_at


def _oldest(runs: Iterable[Run]) -> datetime | None:
    return min((run.created_at for run in runs if run.created_at), default=None)


def _part(some: int, whole: int) -> float:
    return some / whole if whole > 0 else 0.0

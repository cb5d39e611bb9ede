"""How a run ends: its status, and the problem to show for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hub.core.delivery.messages import Ended, Finish
from hub.core.records import Destination, RunCounts, RunStatus
from hub.errors import ErrorCode, HubError, Problem
from hub.sdk.errors import ConnectorError

GENERIC_FAILURE = Problem(
    ErrorCode.INVALID, "The run failed for a reason inside the hub: see its log at the time the run ended."
)


class Halted(Exception):  # noqa: N818 - what happened to the run
    """The run cannot go on with this destination; `finish` says why."""

    def __init__(self, finish: Finish) -> None:
        self.finish = finish
        super().__init__(finish.reason)


def status_of(finish: Finish, counts: RunCounts) -> RunStatus:
    match finish.ended:
        case Ended.COMPLETED:
            open_ends = counts.rejected + counts.pending + counts.remove_rejected + counts.remove_pending
            return RunStatus.PARTIAL if open_ends else RunStatus.SUCCEEDED
        case Ended.CANCELLED:
            return RunStatus.CANCELLED
    return RunStatus.FAILED


def kept_finish(plan: Mapping[str, Any]) -> Finish | None:
    """How the run's machine ended, where the plan says so."""
    return Finish(Ended(plan["ended"]), plan["reason"]) if "ended" in plan else None


def failure_of(finish: Finish, destination: Destination) -> Problem | None:
    """The problem of a run that failed; None for one that completed or was cancelled."""
    key, reason = destination.key, finish.reason.rstrip(".")
    match finish.ended:
        case Ended.AUTH:
            said = f"The destination “{key}” does not let us in: {reason}. It is paused: correct it, then resume it."
            return Problem(ErrorCode.DESTINATION_AUTH, said, ("destination",))
        case Ended.DENIED:
            said = (
                f"The hub may not call the address of “{key}”: {reason}. It is paused: correct the address, or have "
                "the operator list it, then resume it."
            )
            return Problem(ErrorCode.EGRESS_DENIED, said, ("destination",))
        case Ended.UNREACHABLE:
            said = f"The destination “{key}” could not be reached: {reason}. Who is still open goes with the next run."
            return Problem(ErrorCode.DESTINATION_UNREACHABLE, said, ("destination",))
        case Ended.CRASHED:
            said = f"The connector {destination.connector} failed in a way it must not ({reason}): tell its maker."
            return Problem(ErrorCode.DESTINATION_UNREACHABLE, said, ("destination",))
        case Ended.REFUSED:
            said = f"The destination “{key}” refused the run: {reason}."
            return Problem(ErrorCode.INVALID, said, ("destination",))
    return None


def said_by(error: ConnectorError | HubError) -> str:
    """An EgressDenied is a HubError and a ConnectorError at once, and speaks as the former."""
    return error.problems[0].message if isinstance(error, HubError) else error.reason

"""What can go wrong and be put right by the caller, in one shape on every surface.

GraphQL shows a `Problem` as a `UserError`, HTTP as JSON, the command line as one line.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum


class ErrorCode(StrEnum):
    """The GraphQL `ErrorCode`: its names are fixed by the interface."""

    INVALID = "INVALID"
    NOT_FOUND = "NOT_FOUND"
    CONFLICT = "CONFLICT"
    UNSUPPORTED = "UNSUPPORTED"
    FORBIDDEN = "FORBIDDEN"
    RULE_SYNTAX = "RULE_SYNTAX"
    RULE_UNKNOWN_TRAIT = "RULE_UNKNOWN_TRAIT"
    RULE_TYPE = "RULE_TYPE"
    DESTINATION_AUTH = "DESTINATION_AUTH"
    DESTINATION_UNREACHABLE = "DESTINATION_UNREACHABLE"
    EGRESS_DENIED = "EGRESS_DENIED"
    CONSENT_INVALID = "CONSENT_INVALID"
    LIMIT = "LIMIT"
    POLICY = "POLICY"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: what, where (`path` into the input, or line and column from 1), what to do."""

    code: ErrorCode
    message: str
    path: tuple[str, ...] = ()
    line: int | None = None
    column: int | None = None
    suggestion: str | None = None


class HubError(Exception):
    """A refusal that names its problems; never carries a secret or a person's data."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("; ".join(problem.message for problem in problems))

    @property
    def code(self) -> ErrorCode:
        return self.problems[0].code


class StoreError(Exception):
    """One of the hub's stores failed or does not answer; says only what kind of failure it was. What was being done
    may be tried again. `full`: there is no room left. `beaten`: another transaction was let past, and this one may be
    tried again at once."""

    def __init__(self, message: str, *, full: bool = False, beaten: bool = False) -> None:
        super().__init__(message)
        self.full = full
        self.beaten = beaten

    @property
    def advice(self) -> str:
        """What whoever asked is told."""
        if self.full:
            return "There is no room left on the hub's disk: free some, then try again."
        return "The hub's store does not answer just now: try again."


def refuse(
    code: ErrorCode,
    message: str,
    *path: str,
    suggestion: str | None = None,
    line: int | None = None,
    column: int | None = None,
) -> HubError:
    """The error to raise for a single problem: `raise refuse(ErrorCode.NOT_FOUND, "…", "input", "key")`."""
    return HubError(Problem(code, message, path, line, column, suggestion))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, if one is near."""
    folded = {candidate.casefold(): candidate for candidate in known}
    close = get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None

"""A job of the vendor's: what is heard of it poll by poll, and when that is word enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from hub.core.delivery.messages import Answer, Crashed, Ended, Finish, OpenJob, ended_by
from hub.core.delivery.rows import Rows
from hub.sdk.contract import OutcomeKind, Result
from hub.sdk.errors import AuthError, TransientError

JOB_OPEN = "The destination has not finished the job."
JOB_OVERDUE = "The destination did not finish the job by its deadline."
JOB_UNCLEAR = "The destination told two things about the job."


class Followed(NamedTuple):
    """People whom another process left in a job, with the attempt that brought them there."""

    rows: Rows
    attempt: int
    ledger_seq: int
    job: OpenJob


@dataclass(slots=True)
class Inquiry:
    """What the vendor has said of a job so far. `polls` numbers the question that is open now."""

    job: OpenJob
    polls: int = 0
    word: Result | None = None

    def hear(self, answer: Answer, *, late: bool) -> Result | str | Finish | None:
        """What became of the job, or why nobody can know, or how the run ends of it; None to ask again.

        A final word counts once it has been said twice, since there are vendors whose jobs are done and then have
        failed. Whatever else comes, a fault included, says nothing until the deadline is over.
        """
        match answer:
            case Result(job=None):
                return self._final(answer)
            case AuthError():
                return Finish(ended_by(answer), answer.reason)
            case Crashed():
                return Finish(Ended.CRASHED, answer.error_type)
        return JOB_OVERDUE if late else None

    def _final(self, word: Result) -> Result | str | None:
        if self.word is None:
            self.word = word
            return None
        return word if _gist(word) == _gist(self.word) else JOB_UNCLEAR


def as_told(polls: int, retry_after: float | None) -> float:
    """Seconds until the next poll where nobody has another policy: what the vendor says, else longer each time."""
    return retry_after or float(polls)


def asked_to_wait(answer: Answer) -> float | None:
    """Seconds until the next poll, where the vendor named them."""
    return answer.retry_after if isinstance(answer, Result | TransientError) else None


def _gist(word: Result) -> tuple[OutcomeKind, dict[str, OutcomeKind]]:
    """Reasons may be worded anew each time."""
    return word.rest, {key: outcome.kind for key, outcome in word.outcomes.items()}

"""What the delivery machine is told (events) and what it asks for (commands). Nothing here holds a payload.

A batch is named by its number, an attempt by batch and attempt: an answer to an attempt that is over is ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, NamedTuple

from hub.core.delivery.rows import Rows
from hub.core.planning import Fate
from hub.core.records import WithheldReason
from hub.errors import HubError
from hub.sdk.contract import Result
from hub.sdk.errors import AuthError, ConnectorError


class OpenJob(NamedTuple):
    """A job of the vendor's by the vendor's own id, and until when (aware) it is asked after and may take effect."""

    id: str
    until: datetime


class Verdict(NamedTuple):
    """What one attempt led to for the rows whom it met alike: their lines of the outcome log, but for the clock.

    A row may have two lines in a run: `unknown` for an attempt that got no answer, then the fate of a later attempt.
    The later one counts; but because of the first they are possibly there until its in-flight deadline, whatever the
    later one says (an accepted add may still be followed by the late one, after a remove).

    `job` is the one that the rows have gone into. Whoever has is not sent again in this run, whatever becomes of it.
    """

    rows: Rows
    attempt: int
    fate: Fate
    reason: str = ""
    ledger_seq: int = 0
    job: OpenJob | None = None

    @property
    def is_first(self) -> bool:
        """Nothing was said of these rows before, in this process; of those in a job, that they are."""
        return self.job is None or self.fate is Fate.SUBMITTED


@dataclass(frozen=True, slots=True)
class Limits:
    """`batch` people a request, `concurrency` requests at once; at most `uncommitted` batches in flight or answered but
    not yet committed; `chunk` people read from the plan at a time; `patience` batches given up in a row end the run.

    A run tries again at most `retry_floor` times and `retry_share` of its requests: beyond that, a vendor in trouble
    would be asked for more, not less. A retry that the vendor itself has put off (Retry-After) is not counted.

    While `jobs` of the vendor's jobs are open, nobody else is begun. `apart` keeps adds and removes in batches of their
    own, so that a job is about one or the other."""

    batch: int
    concurrency: int = 4
    uncommitted: int = 8
    chunk: int = 8000
    patience: int = 3
    retry_floor: int = 24
    retry_share: float = 0.2
    jobs: int = 16
    apart: bool = False

    @property
    def people_in_doubt(self) -> int:
        """The most people whose fate a crash can leave open: always the first ones of the plan without an outcome."""
        return self.uncommitted * self.batch


Delay = Callable[[int, float | None], float | None]
"""(failures so far, the vendor's Retry-After in seconds) → seconds to wait, or None to give up."""

Pause = Callable[[int, float | None], float]
"""(polls so far, the vendor's Retry-After in seconds) → seconds to wait before a job is asked after again."""


class Ended(StrEnum):
    """Why the machine finished: DENIED by our own egress policy; REFUSED is said of a run that could not even begin."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DRAINED = "drained"
    AUTH = "auth"
    DENIED = "denied"
    UNREACHABLE = "unreachable"
    CRASHED = "crashed"
    REFUSED = "refused"


def ended_by(error: AuthError) -> Ended:
    """What ends a run that may not speak to its destination. An EgressDenied is both an AuthError and a HubError."""
    return Ended.DENIED if isinstance(error, HubError) else Ended.AUTH


@dataclass(frozen=True, slots=True)
class Crashed:
    """A connector raised what it must not; only the type's name is kept, since a message may hold personal data."""

    error_type: str


Answer = Result | ConnectorError | Crashed


# Events: what happened.


@dataclass(frozen=True, slots=True)
class ChunkRead:
    """The next rows of the plan in order of position, looked for up to position `last`; `end`: no more follow."""

    rows: Rows
    last: int
    end: bool


@dataclass(frozen=True, slots=True)
class Gated:
    """Consent was decided again: who may not be sent any more, on the ledger as of `ledger_seq`. `rows` are the batch's
    with the payloads that may go out now, where these were read anew."""

    batch: int
    attempt: int
    ledger_seq: int
    withheld: Mapping[str, WithheldReason] = field(default_factory=dict)
    rows: Rows | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """`until`: how long a job that the answer names is asked after; None where that cannot be done."""

    batch: int
    attempt: int
    answer: Answer
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Polled:
    """What the vendor says of the batch's job; `late`: after the job's deadline."""

    batch: int
    attempt: int
    poll: int
    answer: Answer
    late: bool = False


@dataclass(frozen=True, slots=True)
class Woken:
    """The wait that was asked for is over."""

    batch: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Committed:
    """The last commit is durable."""


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Claim nothing more, let what is in flight finish, leave the rest pending."""

    ended: ClassVar[Ended] = Ended.CANCELLED
    reason: ClassVar[str] = "The run was cancelled."


@dataclass(frozen=True, slots=True)
class DrainRequested:
    """The process is stopping: as for a cancel, but the run goes on in another process."""

    ended: ClassVar[Ended] = Ended.DRAINED
    reason: ClassVar[str] = "The process is stopping."


Event = ChunkRead | Gated | Answered | Polled | Woken | Committed | CancelRequested | DrainRequested


# Commands: what to do next.


@dataclass(frozen=True, slots=True)
class Read:
    """Read up to `limit` rows of the plan after position `after`."""

    after: int
    limit: int


@dataclass(frozen=True, slots=True)
class Gate:
    """Decide consent again for these rows, on a reading begun now. `fresh` asks for a payload read anew."""

    batch: int
    attempt: int
    rows: Rows
    fresh: bool


@dataclass(frozen=True, slots=True)
class Send:
    batch: int
    attempt: int
    rows: Rows


@dataclass(frozen=True, slots=True)
class Poll:
    """Ask after the job these rows are in, so many seconds from now, or at its deadline if that is sooner. `poll`
    counts from 1 in each process."""

    batch: int
    attempt: int
    poll: int
    seconds: float
    job: OpenJob
    rows: Rows


@dataclass(frozen=True, slots=True)
class Wait:
    batch: int
    attempt: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Commit:
    """Append these to the outcome log durably, as one. Until that is done nobody else may speak about the people of
    these `batches`: so the log has its words in the order in which they came true."""

    verdicts: tuple[Verdict, ...]
    batches: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Finish:
    ended: Ended
    reason: str = ""


Command = Read | Gate | Send | Poll | Wait | Commit | Finish

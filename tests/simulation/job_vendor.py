"""A model destination that takes batches for later, as jobs to ask after: late, failing, silent and in two minds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from hub.core.delivery.messages import Answer, Crashed
from hub.sdk.contract import Outcome, OutcomeKind, Result
from hub.sdk.errors import AuthError, RefusedError, TransientError
from tests.simulation.vendors import (
    JOB_LATEST_S,
    LATEST_S,
    AllOrNothing,
    CountOnly,
    Partial,
    Reaction,
    Request,
    Said,
    Vendor,
    Word,
)

LONGEST_JOB_S = 300.0
# What becomes of a job, and how often. Torn: it says that it is done, and then, as is true, that it has failed.
ENDS = {"done": 4, "failed": 1, "torn": 1, "silent": 3}


@dataclass
class PretendJob:
    said: tuple[Said, ...]
    end: str
    done_at: float
    words: Mapping[str, Word]
    request: Request | None = None
    told: int = 0


class Jobs(Vendor):
    """Under load it takes a batch as a job. Some hubs cannot ask after it: for them the effects come, or not, in any
    order."""

    def __init__(self, random: Random, moods: Mapping[str, int], poison: frozenset[str]) -> None:
        super().__init__(random, moods, poison)
        self.follows = random.random() < 0.8
        self.jobs: dict[str, PretendJob] = {}

    def answer(self, said: tuple[Said, ...], seconds: float) -> Reaction:
        if not self.follows:
            unasked = Reaction(Result(job="job 7"), seconds, self.soon(self.takes(said), LATEST_S), {})
            return unasked if self.sometimes(0.3) else super().answer(said, seconds)
        if self.random.random() < 0.3:
            return super().answer(said, seconds)
        name, job = f"job {len(self.jobs)}", self._job(said)
        self.jobs[name] = job
        return Reaction(Result(job=name), seconds, self._effects(job), {})

    def submitted(self, answer: Result, request: Request) -> None:
        if answer.job is not None:
            self.jobs[answer.job].request = request

    def _job(self, said: tuple[Said, ...]) -> PretendJob:
        end = "done" if self.calm else self.random.choices(list(ENDS), list(ENDS.values()))[0]
        words = {one.key: Word.REFUSED if self.bad(one) else Word.TAKEN for one in said}
        return PretendJob(said, end, self.random.uniform(0, LONGEST_JOB_S), words)

    def _effects(self, job: PretendJob) -> list[tuple[float, Said]]:
        taken = self.takes(job.said)
        match job.end:
            case "done":
                return self.soon(taken, job.done_at)
            case "silent":
                return [(self.random.uniform(JOB_LATEST_S / 2, JOB_LATEST_S), one) for one in taken]
        return []

    def poll(self, name: str, keys: list[str], now: float) -> Answer:
        """What it says of the job. The words become certain once they have been told twice."""
        job = self.jobs[name]
        assert job.request is not None
        assert keys == [one.key for one in job.said], "asked about other people than were sent"
        if self.sometimes(0.3):
            return self._fault()
        if job.end == "silent" or now < job.request.at + job.done_at:
            return Result(job=name, retry_after=5.0 if self.sometimes(0.2) else None)
        job.told += 1
        if job.end == "torn" and job.told == 1:
            return Result()
        if job.end in {"failed", "torn"}:
            return self._told(job, dict.fromkeys(keys, Word.AGAIN), now)
        return self._told(job, job.words, now)

    def _told(self, job: PretendJob, words: Mapping[str, Word], now: float) -> Result:
        # Of a torn one somebody has heard the second word twice only if the first one was lost with its process.
        certain = job.told > (2 if job.end == "torn" else 1)
        if job.request and certain and not job.request.words:
            job.request.words, job.request.told = words, now
            self.refusals.update(key for key, word in words.items() if word is Word.REFUSED)
        return Result({key: _OUTCOMES[word] for key, word in words.items() if word is not Word.TAKEN})

    def _fault(self) -> Answer:
        faults = (TransientError("500"), TransientError("500"), TransientError("slow down", 9.0), RefusedError("404"))
        return self.random.choices((*faults, AuthError("no entry"), Crashed("KeyError")), (8, 8, 4, 4, 1, 1))[0]


_OUTCOMES = {
    Word.REFUSED: Outcome(OutcomeKind.REJECTED, "bad"),
    Word.AGAIN: Outcome(OutcomeKind.RETRY, "the job failed"),
}

KINDS: tuple[type[Vendor], ...] = (Vendor, AllOrNothing, Partial, Jobs, CountOnly)

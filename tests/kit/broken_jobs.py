"""One connector for each promise about jobs: the bulk Acme of the documentation, wrong in that one thing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from acme_bulk import AcmeBulk  # type: ignore[import-not-found]

from hub.sdk import Audience, Connector, Outcome, OutcomeKind, Person, Response, Result

Broken = type[Connector[Any]]


class RemembersItsJobs(AcmeBulk):
    """Another process knows nothing of them."""

    known: set[str]

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        result = await super().add(audience, people)
        self.known = {*getattr(self, "known", ()), result.job}
        return result

    async def poll(self, audience: Audience, job: str, keys: Sequence[str]) -> Result:
        known = job in getattr(self, "known", ())
        return await super().poll(audience, job, keys) if known else Result(job=job)


class TellsAJobOnce(AcmeBulk):
    told: ClassVar[set[str]] = set()

    async def poll(self, audience: Audience, job: str, keys: Sequence[str]) -> Result:
        result = await super().poll(audience, job, keys)
        if result.job is None and f"{id(self)} {job}" in self.told:
            return Result({key: Outcome(OutcomeKind.RETRY, "no such job") for key in keys})
        if result.job is None:
            self.told.add(f"{id(self)} {job}")
        return result


class OverlooksRefusalsOfAJob(AcmeBulk):
    async def poll(self, audience: Audience, job: str, keys: Sequence[str]) -> Result:
        result = await super().poll(audience, job, keys)
        return result if result.job is not None else Result()


class BelievesTheStatusOfAJob(AcmeBulk):
    async def poll(self, audience: Audience, job: str, keys: Sequence[str]) -> Result:
        answer: Response = await self._call("GET", f"/lists/{audience.ref}/jobs/{job}")
        return Result(job=job) if b"running" in answer.body else Result()


BROKEN_JOBS: dict[str, Broken] = {
    "test_another_process_can_ask_after_a_job": RemembersItsJobs,
    "test_a_job_says_the_same_however_often_it_is_asked_after": TellsAJobOnce,
    "test_a_job_says_who_was_refused_and_speaks_of_nobody_else": OverlooksRefusalsOfAJob,
    "test_garbage_about_a_job_is_no_word": BelievesTheStatusOfAJob,
}

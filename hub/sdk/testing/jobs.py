"""What a connector promises whose vendor answers with jobs."""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

import pytest

from hub.sdk.contract import Audience, Connector, Outcome, OutcomeKind, Person, Result
from hub.sdk.testing.stage import DONE, Stage, gist_of


class JobsContract:
    connector: ClassVar[type[Connector[Any]]]
    audience: ClassVar[str] = "kit audience"

    @abstractmethod
    def staged(self) -> AbstractAsyncContextManager[Stage]:
        """The connector with a fresh vendor."""

    async def test_another_process_can_ask_after_a_job(self) -> None:
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            people = stage.people("ann", "bob")
            job = await _job_of(stage, audience, people)
            stage.restart()
            result = await stage.follow(audience, job, [person.key for person in people])
            assert {outcome.kind for outcome in result.outcomes.values()} <= DONE and result.rest in DONE
            assert stage.vendor.members(audience) == {person.key for person in people}

    async def test_a_job_says_the_same_however_often_it_is_asked_after(self) -> None:
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            people = stage.people("ann", "bob")
            keys = [person.key for person in people]
            job = await _job_of(stage, audience, people)
            first, before = await stage.follow(audience, job, keys), stage.vendor.members(audience)
            for _ in range(3):
                again = await stage.connector.poll(audience, job, keys)
                assert again.job is None and gist_of(again) == gist_of(first), "two words on one job"
            assert stage.vendor.members(audience) == before

    async def test_a_job_says_who_was_refused_and_speaks_of_nobody_else(self) -> None:
        self._skip_where_nobody_is_refused()
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            refused = self._someone_refused(stage)
            people = [*stage.people("ann", "bob"), refused]
            keys = [person.key for person in people]
            result = await stage.follow(audience, await _job_of(stage, audience, people), keys)
            assert result.outcomes.keys() <= set(keys), "somebody is named who was not in the job"
            outcome = result.outcomes.get(refused.key, Outcome(result.rest))
            assert outcome.kind in {OutcomeKind.REJECTED, OutcomeKind.SUPPRESSED} and outcome.reason
            assert not {text for text in stage.private() if text in outcome.reason}

    @abstractmethod
    def _someone_refused(self, stage: Stage) -> Person: ...

    @abstractmethod
    def _skip_where_nobody_is_refused(self) -> None: ...


async def _job_of(stage: Stage, audience: Audience, people: Sequence[Person]) -> str:
    batch, *more = stage.batches(people, ())
    if not stage.connector.capabilities.jobs:
        pytest.skip("the vendor cannot: jobs")
    result: Result = await stage.connector.apply(audience, batch)
    if result.job is None:
        pytest.skip("this vendor answers at once")
    assert not more, "a job holds more than one person"
    return result.job

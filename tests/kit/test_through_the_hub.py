"""The story through the hub is put to the test as the kit is: for each part there is a connector that breaks it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from hub.sdk import Audience, AuthError, Feedback, Inbound, Person, RefusedError, Response, Result, TransientError
from tests.connectors.story import Story, begin, begun, told
from tests.connectors.through_the_hub import ThroughTheHub
from tests.kit import test_examples  # noqa: F401 - puts the examples on the path
from tests.moulds import in_a_loop_of_its_own

from acme_audiences import Acme  # type: ignore[import-not-found]  # isort: skip
from acme_telling import AcmeTelling  # type: ignore[import-not-found]  # isort: skip
from test_acme_telling import SECRET, TellingAcme  # type: ignore[import-not-found]  # isort: skip


class LosesTheLast(Acme):  # type: ignore[misc]
    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        await super().add(audience, people[:-1])
        return Result()


class ForgetsFields(Acme):  # type: ignore[misc]
    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await super().add(audience, [person._replace(fields={}) for person in people])  # type: ignore[no-any-return]


class RemovesNobody(Acme):  # type: ignore[misc]
    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        return Result()


class HearsNoRefusal(Acme):  # type: ignore[misc]
    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        await super().add(audience, people)
        return Result()


class LosesTelephones(Acme):  # type: ignore[misc]
    capabilities = replace(Acme.capabilities, identifiers=("email", "phone"))

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await super().add(audience, [one for one in people if one.kind != "phone"])  # type: ignore[no-any-return]


class HearsNothing(AcmeTelling):  # type: ignore[misc]
    def feedback(self, request: Inbound) -> Sequence[Feedback]:
        super().feedback(request)
        return []


class TakesAThrottleForANo(Acme):  # type: ignore[misc]
    async def _call(self, method: str, path: str, json: Any = None) -> Response:
        try:
            return await super()._call(method, path, json)
        except TransientError:
            raise RefusedError("no") from None


class TakesALostAccountForAFault(Acme):  # type: ignore[misc]
    async def _call(self, method: str, path: str, json: Any = None) -> Response:
        try:
            return await super()._call(method, path, json)
        except AuthError:
            raise TransientError("busy") from None


BROKEN = {
    "whoever_agreed_goes_in_and_nobody_else": LosesTheLast,
    "a_changed_field_reaches_the_vendor": ForgetsFields,
    "whoever_leaves_is_removed_and_whoever_comes_back_is_in_again": RemovesNobody,
    "every_identifier_goes_in_and_out_again": LosesTelephones,
    "a_withdrawal_is_removed_by_a_run_of_its_own": RemovesNobody,
    "whoever_says_no_at_the_vendor_is_heard_and_removed": HearsNothing,
    "whom_the_vendor_refuses_is_rejected_and_the_others_go_in": HearsNoRefusal,
    "whoever_is_erased_is_gone_there_and_here": RemovesNobody,
    "a_throttle_is_waited_for": TakesAThrottleForANo,
    "a_lost_account_pauses_the_destination_which_goes_on_when_resumed": TakesALostAccountForAFault,
}


def story_of(broken: type[Acme]) -> ThroughTheHub:
    class Broken(ThroughTheHub):
        connector = broken
        config: ClassVar = {"token": "acme-token-1234"} | (
            {"webhook_secret": SECRET} if broken.capabilities.feedback else {}
        )
        fields: ClassVar = {"first_name": "Annabella"}

        def make_vendor(self) -> TellingAcme:
            return TellingAcme()

    return Broken()


@pytest.mark.parametrize("part", BROKEN)
async def test_the_story_finds_the_connector_that_breaks_a_part_of_it(part: str, tmp_path: Path) -> None:
    broken = story_of(BROKEN[part])
    tell = getattr(broken, f"test_through_the_hub_{part}")
    async with as_told(broken, tmp_path, from_the_first="story" in inspect.signature(tell).parameters) as story:
        with pytest.raises(AssertionError):
            await tell(story)


def as_told(broken: ThroughTheHub, folder: Path, *, from_the_first: bool) -> AbstractAsyncContextManager[Story]:
    """As the fixtures of `ThroughTheHub` would have it."""
    if from_the_first:
        return told(broken, folder)
    return begun(broken, folder, in_a_loop_of_its_own(begin(broken, folder / "before")))


def test_there_is_no_part_that_nobody_breaks() -> None:
    parts = {name for name, _ in inspect.getmembers(ThroughTheHub) if name.startswith("test_")}
    assert parts == {f"test_through_the_hub_{part}" for part in BROKEN}

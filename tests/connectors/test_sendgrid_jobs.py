"""SendGrid's jobs and its search, which lag behind: nobody counts as in or out before that can be seen."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from connectors.sendgrid.recent import Recent
from hub.sdk import Audience, Outcome, OutcomeKind, RefusedError, Result, TransientError
from hub.sdk.testing import Stage
from tests.connectors.fake_sendgrid import contact_id
from tests.connectors.test_sendgrid import person, sendgrid, sent

ANN = "ann@example.com"


async def test_a_job_is_done_only_once_its_contacts_can_be_found() -> None:
    async with sendgrid(search_lag_s=300) as (stage, vendor, audience):
        vendor.finished_ago = timedelta(seconds=100)
        job = (await stage.connector.add(audience, [person("ann")])).job or ""
        assert await stage.connector.poll(audience, job, [ANN]) == Result(job=job)
        early = await stage.connector.poll(audience, job, [ANN])
        assert early.job == job and early.retry_after and 190 < early.retry_after <= 200
        vendor.jobs[job]["finished"] = "2026-01-01T00:00:00"
        assert await stage.connector.poll(audience, job, [ANN]) == Result()


@pytest.mark.parametrize("finished", [{}, {"finished_at": ""}, {"finished_at": None}])
async def test_a_job_that_does_not_say_when_it_finished_is_never_certainly_done(finished: dict[str, Any]) -> None:
    told = json.dumps({"id": "job-1", "status": "completed", **finished}).encode()
    async with sendgrid() as (stage, _, audience):
        with stage.wire.answering(200, told):
            assert (await stage.connector.poll(audience, "job-1", [ANN])).job == "job-1"
    async with sendgrid(search_lag_s=0) as (stage, _, audience):
        with stage.wire.answering(200, told):
            assert await stage.connector.poll(audience, "job-1", [ANN]) == Result()


async def test_a_job_that_sendgrid_does_not_know_is_asked_after_again() -> None:
    async with sendgrid() as (stage, _, audience):
        with pytest.raises(TransientError, match="not yet"):
            await stage.connector.poll(audience, "job-9", [ANN])


async def test_whom_the_file_of_errors_names_is_rejected_and_the_others_are_in() -> None:
    async with sendgrid() as (stage, vendor, audience):
        vendor.refuse(ANN, "too long")
        outcomes = await stage.send(audience, add=[person("ann"), person("joann")])
        assert outcomes[ANN].kind is OutcomeKind.REJECTED and "ann" not in outcomes[ANN].reason
        assert outcomes["joann@example.com"].kind is OutcomeKind.ACCEPTED


@pytest.mark.parametrize("url", ["", "http://127.0.0.1/errors", "nonsense"])
async def test_errors_that_name_nobody_leave_everyone_unknown(url: str) -> None:
    results = {"errored_count": 2, "errors_url": url}
    told = {"id": "j", "status": "errored", "finished_at": "2026-01-01T00:00:00Z", "results": results}
    async with sendgrid() as (stage, _, audience):
        with stage.wire.answering(200, json.dumps(told).encode()):
            result = await stage.connector.poll(audience, "j", [ANN])
        assert (result.rest, result.invalid, result.outcomes) == (OutcomeKind.UNKNOWN, 2, {})


async def test_a_file_of_errors_that_is_not_handed_out_says_nothing_against_our_key() -> None:
    async with sendgrid() as (stage, vendor, audience):
        vendor.refuse(ANN, "too long")
        job = (await stage.connector.add(audience, [person("ann")])).job or ""
        lapsed = stage.wire.bending(lambda r, _: httpx.Response(403) if "errors." in r.url.host else None)
        with lapsed:
            await stage.connector.poll(audience, job, [ANN])
            with pytest.raises(TransientError):
                await stage.connector.poll(audience, job, [ANN])


async def test_a_job_that_failed_as_a_whole_is_tried_again() -> None:
    async with sendgrid() as (stage, vendor, audience):
        vendor.fails_as_a_whole = True
        outcomes = await stage.send(audience, add=[person("ann")])
        assert outcomes[ANN].kind is OutcomeKind.RETRY and not vendor.members(audience)


async def added(stage: Stage, audience: Audience, *names: str) -> None:
    await stage.send(audience, add=[person(name) for name in names])


async def test_whom_the_search_misses_right_after_an_add_is_not_taken_for_gone() -> None:
    async with sendgrid() as (stage, vendor, audience):
        await added(stage, audience, "ann")
        vendor.hidden[ANN] = 2
        for _ in range(2):
            result = await stage.connector.remove(audience, [person("ann")])
            assert result.job is None and result.outcomes[ANN].kind is OutcomeKind.RETRY
        await stage.send(audience, remove=[person("ann")])
        assert not vendor.members(audience)


async def test_who_may_have_come_in_by_an_add_without_an_answer_is_not_taken_for_gone_either() -> None:
    async with sendgrid() as (stage, _, audience):
        with stage.wire.breaking(httpx.ReadTimeout), pytest.raises(TransientError):
            await stage.connector.add(audience, [person("ann")])
        result = await stage.connector.remove(audience, [person("ann"), person("never")])
        assert {key: one.kind for key, one in result.outcomes.items()} == {
            ANN: OutcomeKind.RETRY,
            "never@example.com": OutcomeKind.NOOP,
        }


async def test_a_removal_is_done_only_once_nobody_in_it_is_on_the_list() -> None:
    async with sendgrid() as (stage, vendor, audience):
        await added(stage, audience, "ann", "bob")
        job = (await stage.connector.remove(audience, [person("ann")])).job or ""
        assert job.startswith("removal-")
        assert (await stage.connector.poll(audience, job, [ANN])).job == job
        assert await stage.connector.poll(audience, job, [ANN]) == Result()
        assert vendor.members(audience) == {"bob@example.com"}


async def test_removals_go_a_hundred_at_a_time_and_what_is_submitted_stays_so_when_it_is_throttled() -> None:
    async with sendgrid() as (stage, _, audience):
        names = [f"n{number}" for number in range(250)]
        await added(stage, audience, *names)
        people = [person(name) for name in names]
        deleted = 0

        def throttle(request: httpx.Request, _: int) -> httpx.Response | None:
            nonlocal deleted
            deleted += request.method == "DELETE"
            return httpx.Response(429) if deleted > 1 else None

        with stage.wire.bending(throttle):
            result = await stage.connector.remove(audience, people)
        assert result.job and set(result.outcomes) == {one.key for one in people[100:]}
        assert {outcome.kind for outcome in result.outcomes.values()} == {OutcomeKind.RETRY}
        with stage.wire.answering(429), pytest.raises(TransientError):
            await stage.connector.remove(audience, people)


async def test_an_id_that_is_not_known_any_more_is_looked_up_again() -> None:
    async with sendgrid() as (stage, vendor, audience):
        await added(stage, audience, "ann")
        vendor.unknown_ids = {contact_id(ANN)}
        result = await stage.connector.remove(audience, [person("ann")])
        assert result == Result({ANN: Outcome(OutcomeKind.RETRY, "SendGrid could not remove the contact")})
        vendor.unknown_ids = set()
        before = len(stage.wire.requests)
        await stage.send(audience, remove=[person("ann")])
        assert sent(stage, before)[0][1].endswith("search/emails") and not vendor.members(audience)


async def test_one_address_that_is_not_valid_does_not_hide_the_others_from_a_search() -> None:
    async with sendgrid() as (stage, vendor, audience):
        names = [f"n{number}" for number in range(7)]
        await added(stage, audience, *names)
        vendor.invalid = {"n3@example.com"}
        outcomes = await stage.send(audience, remove=[person(name) for name in names if name != "n5"])
        assert vendor.members(audience) == {"n3@example.com", "n5@example.com"}
        assert outcomes["n3@example.com"].kind is OutcomeKind.RETRY, "it was added a moment ago"


async def test_a_search_refused_for_another_reason_says_of_nobody_that_they_are_gone() -> None:
    async with sendgrid() as (stage, _, audience):
        said = b'{"errors": [{"message": "too many requests for this plan"}]}'
        with stage.wire.answering(400, said), pytest.raises(RefusedError):
            await stage.connector.remove(audience, [person("ann")])


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b"<html>not here</html>"),
        (404, b"{}"),
        (200, b'{"result": {}}'),
        (200, b'{"result": {"ann@example.com": {}}}'),
        (200, b'{"result": {"ann@example.com": {"error": "internal error"}}}'),
        (200, b'{"result": {"bob@example.com": {"error": "contact not found"}}}'),
    ],
)
async def test_a_search_that_does_not_speak_of_somebody_does_not_say_that_they_are_gone(
    status: int, body: bytes
) -> None:
    async with sendgrid() as (stage, _, audience):
        with stage.wire.answering(status, body), pytest.raises(TransientError):
            await stage.connector.remove(audience, [person("ann")])


async def test_who_was_added_a_moment_ago_and_cannot_be_found_is_not_erased_yet_and_then_once_for_all() -> None:
    async with sendgrid() as (stage, vendor, audience):
        await added(stage, audience, "ann")
        vendor.hidden[ANN] = 1
        assert (await stage.connector.erase([person("ann")])).outcomes[ANN].kind is OutcomeKind.RETRY
        for _ in range(2):
            assert (await stage.connector.erase([person("ann")])).outcomes == {} and not vendor.members(audience)


def test_the_recent_are_forgotten_in_time_and_when_there_are_too_many() -> None:
    now = 0.0
    recent = Recent(60, most=2, clock=lambda: now)
    recent.note(["a", "b", "a", "c"])
    assert [key in recent for key in "abc"] == [True, False, True]
    now = 61.0
    assert "a" not in recent
    recent.note(["d"])
    assert recent._noted.keys() == {"d"}

"""Segments as an admin makes, changes, tries and deletes them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hub.core.records import Lens
from hub.errors import ErrorCode, HubError
from hub.services import intake, segments
from hub.services.hub import Hub
from hub.warehouse import evaluate as memberships
from tests.services.opened import TestClock, opened
from tests.services.shop import shop

PROFILES = """id,email,country,ltv,staff
p1,a@example.com,DE,10,false
p2,b@example.com,AT,200,false
p3,c@example.com,DE,300,true
p4,d@example.com,,,
"""
EVENTS = """profile_id,ts,name,value
p1,2026-04-30T12:00:00Z,purchase,5
p2,2026-04-01T12:00:00Z,purchase,7
p2,2026-05-02T12:00:00Z,purchase,9
"""


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
async def hub(tmp_path: Path, clock: TestClock) -> AsyncIterator[Hub]:
    async with opened(tmp_path / "hub", clock) as running:
        for kind, text in (("profiles", PROFILES), ("events", EVENTS)):
            path = tmp_path / f"{kind}.csv"
            path.write_text(text)
            await intake.import_file(running, kind, path)
        yield running


async def refused(awaited: Any) -> tuple[ErrorCode, tuple[str, ...], str]:
    with pytest.raises(HubError) as caught:
        await awaited
    problem = caught.value.problems[0]
    return problem.code, problem.path, problem.message


async def members(hub: Hub, key: str, lens: Lens = Lens.LIVE) -> list[str]:
    segment = await hub.store.segments.need(key)
    return [member.external_id for member in memberships.members(hub.engine, segment.id, lens)]


async def test_a_segment_is_evaluated_when_it_is_made(hub: Hub) -> None:
    made = await segments.create(hub, "germans", "Germans", 'country = "DE"')
    assert (made.evaluation.size, made.evaluation.entered, made.evaluation.left) == (2, 2, 0)
    assert made.evaluation.as_of == hub.clock.now()
    assert await members(hub, "germans") == ["p1", "p3"]
    assert (await hub.store.segments.need("germans")).evaluation == made.evaluation


async def test_a_new_rule_is_evaluated_before_the_answer_and_so_is_who_names_it(hub: Hub) -> None:
    await segments.create(hub, "rich", "Rich", "ltv >= 200")
    await segments.create(hub, "rich-buyers", "Rich buyers", 'in segment "rich" and did(purchase)')
    await segments.create(hub, "others", "Others", 'not in segment "rich-buyers"')
    assert await members(hub, "others") == ["p1", "p3", "p4"]
    changed = await segments.update(hub, "rich", rule="ltv >= 10")
    assert (changed.version, changed.evaluation.size, changed.evaluation.entered) == (2, 3, 1)
    assert await members(hub, "rich-buyers") == ["p1", "p2"]
    assert await members(hub, "others") == ["p3", "p4"]


async def test_a_new_name_leaves_rule_and_evaluation_alone(hub: Hub) -> None:
    made = await segments.create(hub, "germans", "Germans", 'country = "DE"', "who lives there")
    changed = await segments.update(hub, "germans", name="In Germany")
    assert (changed.name, changed.description, changed.rule) == ("In Germany", "who lives there", made.rule)
    assert changed.evaluation == made.evaluation
    assert (await segments.update(hub, "germans", description="")).description == ""


async def test_the_second_of_two_edits_at_once_is_a_conflict(hub: Hub) -> None:
    made = await segments.create(hub, "s", "S", "everyone")
    await segments.update(hub, "s", name="One", if_version=made.version)
    code, path, _ = await refused(segments.update(hub, "s", rule="ltv > 1", if_version=made.version))
    assert (code, path) == (ErrorCode.CONFLICT, ("input", "ifVersion"))
    assert (await hub.store.segments.need("s")).rule == "everyone"


@pytest.mark.parametrize(
    ("key", "name", "rule", "code", "path"),
    [
        ("Not A Slug", "S", "everyone", ErrorCode.INVALID, ("input", "key")),
        ("s", " ", "everyone", ErrorCode.INVALID, ("input", "name")),
        ("s", "S", "", ErrorCode.RULE_SYNTAX, ("input", "rule")),
        ("s", "S", "contry = 1", ErrorCode.RULE_UNKNOWN_TRAIT, ("input", "rule")),
        ("s", "S", "country > 1", ErrorCode.RULE_TYPE, ("input", "rule")),
        ("s", "S", 'in segment "s"', ErrorCode.INVALID, ("input", "rule")),
        ("s", "S", 'in segment "t"', ErrorCode.NOT_FOUND, ("input", "rule")),
    ],
)
async def test_bad_input_changes_nothing(
    hub: Hub, key: str, name: str, rule: str, code: ErrorCode, path: tuple[str, ...]
) -> None:
    assert (await refused(segments.create(hub, key, name, rule)))[:2] == (code, path)
    assert await hub.store.segments.count() == 0


async def test_a_key_is_used_once(hub: Hub) -> None:
    await segments.create(hub, "s", "S", "everyone")
    assert (await refused(segments.create(hub, "s", "S", "everyone")))[0] is ErrorCode.CONFLICT


async def test_a_circle_is_refused_at_the_update_that_would_close_it(hub: Hub) -> None:
    await segments.create(hub, "a", "A", "everyone")
    await segments.create(hub, "b", "B", 'in segment "a"')
    code, _, message = await refused(segments.update(hub, "a", rule='not in segment "b"'))
    assert code is ErrorCode.INVALID
    assert "a → b → a" in message


async def test_a_segment_that_another_names_is_not_deleted(hub: Hub) -> None:
    await segments.create(hub, "a", "A", "everyone")
    await segments.create(hub, "b", "B", 'in segment "a"')
    code, path, message = await refused(segments.delete(hub, "a"))
    assert (code, path) == (ErrorCode.CONFLICT, ("key",))
    assert "“b”" in message
    assert (await segments.delete(hub, "b")).key == "b"
    gone = await segments.delete(hub, "a")
    assert memberships.members(hub.engine, gone.id, Lens.LIVE) == []


async def test_a_segment_that_a_sync_uses_is_not_deleted(tmp_path: Path) -> None:
    async with shop(tmp_path) as store:
        await store.set_up(2)
        used = (await store.hub.store.syncs.all())[0]
        segment = await store.hub.store.segments.find(used.segment_id)
        assert segment is not None
        code, _, message = await refused(segments.delete(store.hub, segment.key))
        assert code is ErrorCode.CONFLICT
        assert used.key in message


async def test_as_of_is_a_membership_of_its_own(hub: Hub) -> None:
    await segments.create(hub, "recent", "Recent", "did(purchase, last 7 days)")
    assert await members(hub, "recent") == ["p1"]
    then = await segments.evaluate(hub, "recent", hub.clock.now() - timedelta(days=25))
    assert (then.evaluation.size, then.evaluation.entered) == (1, 1)
    assert await members(hub, "recent", Lens.AS_OF) == ["p2"]
    assert await members(hub, "recent") == ["p1"]
    assert (await hub.store.segments.need("recent")).evaluation.as_of == hub.clock.now()


async def test_evaluating_all_follows_the_clock_and_keeps_the_day_of_entering(hub: Hub, clock: TestClock) -> None:
    await segments.create(hub, "recent", "Recent", "did(purchase, last 7 days)")
    began = clock.now().replace(tzinfo=None)
    clock.pass_by(days=2)
    assert [(s.evaluation.size, s.evaluation.entered) for s in await segments.evaluate_all(hub)] == [(2, 1)]
    clock.pass_by(days=5)
    assert [(s.evaluation.size, s.evaluation.left) for s in await segments.evaluate_all(hub)] == [(1, 1)]
    segment = await hub.store.segments.need("recent")
    (member,) = memberships.members(hub.engine, segment.id, Lens.LIVE)
    assert (member.external_id, member.entered_at) == ("p2", began + timedelta(days=2))


async def test_a_preview_compares_with_the_segment_and_saves_nothing(hub: Hub) -> None:
    made = await segments.create(hub, "germans", "Germans", 'country = "DE"')
    found = await segments.preview(hub, "ltv >= 200 and not did(visit)", None, 1, "germans")
    assert (found.match_count, len(found.sample), found.entering, found.leaving) == (2, 1, 1, 1)
    assert found.explanation == "ltv is at least 200, and did not “visit”"
    assert [warning.suggestion for warning in found.warnings] == [None]
    assert await hub.store.segments.need("germans") == made
    assert (await segments.preview(hub, "everyone")).entering is None
    assert (await refused(segments.preview(hub, "ltvv > 3")))[0] is ErrorCode.RULE_UNKNOWN_TRAIT


async def test_why_someone_is_in_or_out(hub: Hub) -> None:
    await segments.create(hub, "good", "Good", 'country = "DE" and sum(purchase.value) >= 5')
    inside = await segments.explain_membership(hub, "p1", "good")
    assert inside is not None
    assert (inside.member, inside.since) == (True, hub.clock.now())
    assert inside.because["parts"][1]["saw"] == {"the sum of value of “purchase” events": 5}
    outside = await segments.explain_membership(hub, "p4", "good")
    assert outside is not None
    assert (outside.member, outside.since, outside.because["parts"][0]["verdict"]) == (False, None, None)
    assert await segments.explain_membership(hub, "p1", "no-such-segment") is None
    assert await segments.explain_membership(hub, "nobody", "good") is None

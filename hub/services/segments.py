"""Segments: made, changed, deleted, evaluated, tried out, and explained for one person."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog

from hub.core.clock import aware, naive
from hub.core.records import Evaluation, Lens, Segment
from hub.core.rules.catalogue import Catalogue
from hub.core.rules.check import Checked, check_text
from hub.core.rules.compile import compile_rule
from hub.core.rules.explain import explain
from hub.core.rules.judge import judge
from hub.core.rules.syntax import parse
from hub.core.rules.tree import Column, InSegment, walk
from hub.core.slug import key_problems, name_problems
from hub.errors import ErrorCode, HubError, Problem, refuse
from hub.services.hub import Hub
from hub.warehouse import catalogue as known
from hub.warehouse import evaluate as memberships

LONGEST_DESCRIPTION = 10_000
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RulePreview:
    """What a rule would match; `sample` are pids. `entering` and `leaving` only where a segment was compared with."""

    match_count: int
    sample: tuple[int, ...]
    explanation: str
    entering: int | None
    leaving: int | None
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class MembershipExplanation:
    """`because` is the rule's tree with each part's verdict and the values it saw, in JSON's own types."""

    member: bool
    since: datetime | None
    because: dict[str, Any]


async def create(hub: Hub, key: str, name: str, rule: str, description: str = "") -> Segment:
    """A new segment, evaluated. HubError INVALID for key or name, CONFLICT for a taken key, RULE_* for the rule."""
    if problems := [*key_problems(key), *name_problems(name), *_description_problems(description)]:
        raise HubError(*problems)
    catalogue = await _catalogue(hub)
    if key in catalogue.rules:
        raise refuse(ErrorCode.CONFLICT, f"There is a segment “{key}” already: choose another key.", "input", "key")
    checked = await _checked_against(catalogue, rule, key, "input")
    made = await hub.store.segments.create(key=key, name=name.strip(), rule=rule, description=description)
    return await _evaluated(hub, made, checked)


async def update(
    hub: Hub,
    key: str,
    *,
    name: str | None = None,
    rule: str | None = None,
    description: str | None = None,
    if_version: int | None = None,
) -> Segment:
    """Change what is given. A new rule is evaluated before this returns, and so are the segments whose rules name this
    one. HubError NOT_FOUND, CONFLICT when the segment is not at `if_version`, else as `create`."""
    segment = await hub.store.segments.need(key)
    named = name_problems(name) if name is not None else []
    if problems := [*named, *_description_problems(description or "")]:
        raise HubError(*problems)
    checked = None if rule is None else await _checked(hub, rule, key, "input")
    given = {"name": name and name.strip(), "rule": rule, "description": description}
    changes = {field: value for field, value in given.items() if value is not None}
    changed = await hub.store.segments.update(segment.id, if_version=if_version, **changes)
    if checked is None or changed.rule == segment.rule:
        return changed
    evaluated = await _evaluated(hub, changed, checked)
    await _evaluate_those_leaning_on(hub, key)
    return evaluated


async def delete(hub: Hub, key: str) -> Segment:
    """HubError NOT_FOUND, or CONFLICT naming the sync or the other segment that uses it."""
    segment = await hub.store.segments.need(key)
    syncs = (await hub.store.syncs.of_segments([segment.id])).get(segment.id, [])
    if syncs:
        raise refuse(ErrorCode.CONFLICT, f"The sync “{syncs[0].key}” uses this segment: delete the sync first.", "key")
    leaning = next((other for other in await hub.store.segments.all() if key in _named_in(other.rule)), None)
    if leaning:
        message = f"The rule of segment “{leaning.key}” names this segment: change that rule first."
        raise refuse(ErrorCode.CONFLICT, message, "key")
    await hub.store.segments.delete(segment.id)
    await asyncio.to_thread(memberships.forget, hub.engine, segment.id)
    return segment


async def evaluate(hub: Hub, key: str, as_of: datetime | None = None) -> Segment:
    """Evaluate now; with `as_of` under a lens of its own, which the answer's `evaluation` then is of."""
    segment = await hub.store.segments.need(key)
    return await _evaluated(hub, segment, await _checked(hub, segment.rule, key), as_of)


async def selection(hub: Hub, segment: Segment) -> str:
    """The SQL that selects the segment's members, from a table `clock`."""
    checked = await _checked(hub, segment.rule, segment.key)
    return await asyncio.to_thread(compile_rule, checked, hub.engine.dialect)


async def evaluate_all(hub: Hub) -> list[Segment]:
    """Evaluate every segment live, as after an import. A rule that no longer holds keeps its membership as it was."""
    return await _evaluate_each(hub, await hub.store.segments.all())


async def evaluate_stale(hub: Hub) -> list[Segment]:
    """Evaluate the segments whose rule in force never was: what a crash between saving and evaluating leaves."""
    return [await evaluate(hub, segment.key) for segment in await hub.store.segments.stale()]


async def preview(
    hub: Hub, rule: str, as_of: datetime | None = None, sample: int = 10, segment: str | None = None
) -> RulePreview:
    """What the rule would match at `as_of` (default now), and against the segment's live members. Writes nothing."""
    against = await hub.store.segments.need(segment, "segment") if segment else None
    checked = await _checked(hub, rule, segment)
    sql = await asyncio.to_thread(compile_rule, checked, hub.engine.dialect)
    moment = naive(as_of or hub.clock.now())
    found = await asyncio.to_thread(memberships.match, hub.engine, sql, moment, sample, against.id if against else None)
    words = explain(parse(rule))
    return RulePreview(found.size, found.sample, words, found.entering, found.leaving, checked.warnings)


async def explain_membership(hub: Hub, external_id: str, segment_key: str) -> MembershipExplanation | None:
    """Why the person is in or out as of now; None when there is no such segment or nobody with that id."""
    segment = await hub.store.segments.get(segment_key)
    if segment is None:
        return None
    checked = await _checked(hub, segment.rule, segment_key)
    now = hub.clock.now()
    columns = [node for node, _ in walk(checked.rule, unfold=True) if isinstance(node, Column)]
    found = await asyncio.to_thread(memberships.person, hub.engine, external_id, columns, naive(now))
    if found is None:
        return None
    pid, person = found
    verdict = judge(checked.rule, person, now)
    since = await asyncio.to_thread(memberships.entered_at, hub.engine, segment.id, pid)
    entered = aware(since) if verdict.verdict is True else None
    return MembershipExplanation(verdict.verdict is True, entered, verdict.as_json())


async def _evaluated(hub: Hub, segment: Segment, checked: Checked, as_of: datetime | None = None) -> Segment:
    lens = Lens.LIVE if as_of is None else Lens.AS_OF
    moment = as_of or hub.clock.now()
    sql = await asyncio.to_thread(compile_rule, checked, hub.engine.dialect)
    counts = await asyncio.to_thread(memberships.evaluate, hub.engine, segment.id, lens, sql, naive(moment))
    evaluation = Evaluation(counts.size, counts.entered, counts.left, moment, hub.clock.now())
    await hub.store.segments.save_evaluation(segment.id, lens, evaluation, version=segment.version)
    if lens is Lens.LIVE and (counts.entered or counts.left):
        hub.signals.membership_changed.set()
    return replace(segment, evaluation=evaluation)


async def _evaluate_each(hub: Hub, segments: Iterable[Segment]) -> list[Segment]:
    catalogue = await _catalogue(hub)
    evaluated = []
    for segment in segments:
        try:
            checked = check_text(segment.rule, catalogue, segment.key)
        except HubError as error:
            log.warning("segment.rule_no_longer_holds", segment=segment.key, code=error.code.value)
            continue
        evaluated.append(await _evaluated(hub, segment, checked))
    return evaluated


async def _evaluate_those_leaning_on(hub: Hub, key: str) -> None:
    """The segments that name this one, directly or through another."""
    segments = await hub.store.segments.all()
    named = {segment.key: set(_named_in(segment.rule)) for segment in segments}
    reached, leaning = {key}, set[str]()
    while reached:
        reached = {other for other, names in named.items() if names & reached} - leaning
        leaning |= reached
    await _evaluate_each(hub, (segment for segment in segments if segment.key in leaning - {key}))


async def _checked(hub: Hub, rule: str, segment: str | None, *under: str) -> Checked:
    """The rule checked against what is known now; its faults are placed `under` that path of the input."""
    return await _checked_against(await _catalogue(hub), rule, segment, *under)


async def _checked_against(catalogue: Catalogue, rule: str, segment: str | None, *under: str) -> Checked:
    try:
        return await asyncio.to_thread(check_text, rule, catalogue, segment)
    except HubError as error:
        raise HubError(*(replace(problem, path=(*under, *problem.path)) for problem in error.problems)) from None


async def _catalogue(hub: Hub) -> Catalogue:
    return await asyncio.to_thread(known.load, hub.engine, await hub.store.segments.rules())


def _named_in(rule: str) -> Iterator[str]:
    """The keys of the segments that a stored rule names."""
    return (node.key for node, _ in walk(parse(rule)) if isinstance(node, InSegment))


def _description_problems(description: str) -> list[Problem]:
    if len(description) <= LONGEST_DESCRIPTION and "\x00" not in description:
        return []
    message = f"The description must have at most {LONGEST_DESCRIPTION:,} characters."
    return [Problem(ErrorCode.INVALID, message, ("input", "description"))]

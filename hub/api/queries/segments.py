"""Segments, and what a rule would match."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry

from hub.api.context import Info
from hub.api.refusals import errors_of
from hub.api.types.connection import LARGEST_PAGE, Connection, Window, page
from hub.api.types.node import UserError
from hub.api.types.profile import Profile
from hub.api.types.segment import RulePreview, Segment
from hub.api.words import UNSET, After, AsOf, First, Key, given, in_utc
from hub.errors import ErrorCode, HubError, refuse
from hub.services import segments
from hub.warehouse import views

Rule = Annotated[str, strawberry.argument(description="A rule, in the rule language.")]
Sample = Annotated[int | None, strawberry.argument(description="How many of those who match to show, at most 100.")]
Against = Annotated[
    str | None, strawberry.argument(description="The key of a segment to compare with, as its version in force stands.")
]


@strawberry.type
class SegmentQueries:
    @strawberry.field(description="The segment with that key; null when there is none.")
    async def segment(self, info: Info, key: Key) -> Segment | None:
        record = await info.context.hub.store.segments.get(key)
        return Segment.of(record) if record else None

    @strawberry.field(description="Every segment, in the order in which they were created.")
    async def segments(self, info: Info, first: First = UNSET, after: After = UNSET) -> Connection[Segment]:
        window, stored = Window.of("segments", first, after), info.context.hub.store.segments
        found = await stored.page(window.beyond, window.position)
        return page(window, found, lambda record: record.id, Segment.of, stored.count)

    @strawberry.field(
        description="Counts and a sample without saving anything. `asOf` (default now) is the rule's clock; `segment` "
        "compares with the version in force."
    )
    async def rule_preview(
        self, info: Info, rule: Rule, as_of: AsOf = UNSET, sample: Sample = 10, segment: Against = UNSET
    ) -> RulePreview:
        try:
            return await _preview(info, rule, in_utc(as_of, "asOf"), _sample_size(given(sample)), given(segment))
        except HubError as error:
            return RulePreview.refused(errors_of(error))


def _sample_size(sample: int | None) -> int:
    if sample is not None and not 0 <= sample <= LARGEST_PAGE:
        raise refuse(ErrorCode.LIMIT, f"`sample` is {sample}; it can be 0 to {LARGEST_PAGE}.", "sample")
    return 10 if sample is None else sample


async def _preview(info: Info, rule: str, as_of: datetime | None, sample: int, segment: str | None) -> RulePreview:
    found = await segments.preview(info.context.hub, rule, as_of, sample, segment)
    people = await info.context.read(views.profiles_by_pid, found.sample)
    return RulePreview(
        match_count=found.match_count,
        sample=[Profile.of(people[pid]) for pid in found.sample if pid in people],
        explanation=found.explanation,
        entering=found.entering,
        leaving=found.leaving,
        warnings=[UserError.of(problem) for problem in found.warnings],
        errors=[],
    )

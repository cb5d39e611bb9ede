"""Segments: a rule, its members, and the syncs that send them out."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from hub.api.context import Info
from hub.api.ids import global_id
from hub.api.types.catalogue import within_int
from hub.api.types.connection import Connection, Window, page
from hub.api.types.node import Node, UserError
from hub.api.types.profile import Profile
from hub.api.words import UNSET, After, First, says
from hub.core import records
from hub.warehouse import views

if TYPE_CHECKING:
    from hub.api.types.sync import Sync


@strawberry.type(description="One evaluation of a segment's rule.")
class SegmentEvaluation:
    size: int = says("How many members there are.")
    entered: int = says("How many became members, compared with the evaluation before it.")
    left: int = says("How many ceased to be members, compared with the evaluation before it.")
    as_of: datetime = says("The clock of the rule.")
    evaluated_at: datetime = says("When it was worked out.")

    @classmethod
    def of(cls, record: records.Evaluation) -> SegmentEvaluation:
        return cls(
            size=within_int(record.size),
            entered=within_int(record.entered),
            left=within_int(record.left),
            as_of=record.as_of,
            evaluated_at=record.evaluated_at,
        )


@strawberry.type(description="A named, versioned rule; its members are computed, never listed by hand.")
class Segment(Node):
    number: strawberry.Private[int]
    key: str = says("The slug that syncs and other rules name; never changes.")
    name: str = says("The name for people.")
    description: str = says("What it is for, in words for people; empty if nobody wrote any.")
    rule: str = says("The rule in force.")
    version: int = says("Rises with every change of name, rule or description.")
    evaluation: SegmentEvaluation = says("The last evaluation of the rule in force.")

    @classmethod
    def of(cls, record: records.Segment) -> Segment:
        return cls(
            id=global_id("Segment", record.id),
            number=record.id,
            key=record.key,
            name=record.name,
            description=record.description,
            rule=record.rule,
            version=record.version,
            evaluation=SegmentEvaluation.of(record.evaluation),
        )

    @strawberry.field(description="The rule in plain words.")
    def explanation(self) -> str:
        from hub.core.rules.explain import explain
        from hub.core.rules.syntax import parse

        return explain(parse(self.rule))

    @strawberry.field(description="The syncs that send this segment somewhere.")
    async def syncs(self, info: Info) -> list[Annotated[Sync, strawberry.lazy("hub.api.types.sync")]]:
        from hub.api.types.sync import Sync

        return [Sync.of(record) for record in await info.context.loaders.syncs_of_segment.load(self.number)]

    @strawberry.field(description="The members by the last live evaluation, in the order in which they became known.")
    async def members(self, info: Info, first: First = UNSET, after: After = UNSET) -> Connection[Profile]:
        window, read = Window.of(f"members of segment {self.number}", first, after), info.context.read
        people = await read(views.members, self.number, window.position, window.beyond)
        return page(
            window, people, lambda person: person.pid, Profile.of, lambda: read(views.count_members, self.number)
        )


@strawberry.type(description="What a rule would match, without saving anything.")
class RulePreview:
    match_count: int | None = says("How many profiles match; null when the rule has errors.")
    sample: list[Profile] = says("Some of those who match.")
    explanation: str | None = says("The rule in plain words; null when the rule has errors.")
    entering: int | None = says("How many would enter the segment compared with; null without one.")
    leaving: int | None = says("How many would leave the segment compared with; null without one.")
    warnings: list[UserError] = says("What is odd but not wrong, such as an event name never seen.")
    errors: list[UserError] = says("What is wrong with the rule; empty when it can be used.")

    @classmethod
    def refused(cls, errors: list[UserError]) -> RulePreview:
        nothing = {"match_count": None, "explanation": None, "entering": None, "leaving": None}
        return cls(sample=[], warnings=[], errors=errors, **nothing)

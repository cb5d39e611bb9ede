"""Making, changing and evaluating segments."""

from __future__ import annotations

from typing import Annotated

import strawberry

from hub.api.context import Info
from hub.api.inputs import SegmentCreateInput, SegmentUpdateInput
from hub.api.payloads import SegmentPayload
from hub.api.refusals import answering, changes, told
from hub.api.types.segment import Segment
from hub.api.words import UNSET, AsOf, Key, in_utc
from hub.services import segments

NewSegment = Annotated[SegmentCreateInput, strawberry.argument(description="The segment to make.")]
SegmentChanges = Annotated[SegmentUpdateInput, strawberry.argument(description="What to change.")]


@strawberry.type
class SegmentMutations:
    @strawberry.mutation(description="Makes a segment and evaluates it.")
    @answering(SegmentPayload)
    async def segment_create(self, info: Info, input: NewSegment) -> SegmentPayload:
        return SegmentPayload(segment=Segment.of(await segments.create(info.context.hub, **told(input))))

    @strawberry.mutation(description="Changes a segment; a new rule is evaluated before this returns.")
    @answering(SegmentPayload)
    async def segment_update(self, info: Info, key: Key, input: SegmentChanges) -> SegmentPayload:
        changed = changes(input, description="")
        return SegmentPayload(segment=Segment.of(await segments.update(info.context.hub, key, **changed)))

    @strawberry.mutation(description="Deletes a segment; CONFLICT while a sync or another rule uses it.")
    @answering(SegmentPayload)
    async def segment_delete(self, info: Info, key: Key) -> SegmentPayload:
        return SegmentPayload(segment=Segment.of(await segments.delete(info.context.hub, key)))

    @strawberry.mutation(
        description="Evaluates a segment now. With `asOf` the membership is one of its own; the live one stays."
    )
    @answering(SegmentPayload)
    async def segment_evaluate(self, info: Info, key: Key, as_of: AsOf = UNSET) -> SegmentPayload:
        return SegmentPayload(segment=Segment.of(await segments.evaluate(info.context.hub, key, in_utc(as_of, "asOf"))))

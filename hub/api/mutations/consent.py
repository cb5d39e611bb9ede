"""Purposes, and the decisions people take about them."""

from __future__ import annotations

from typing import Annotated

import strawberry

from hub.api.context import Context, Info
from hub.api.inputs import ConsentRecordInput, PurposeCreateInput, PurposeUpdateInput
from hub.api.payloads import ConsentPayload, PurposePayload
from hub.api.refusals import answering, changes, told
from hub.api.types.consent import Consent
from hub.api.types.purpose import Purpose
from hub.api.words import Key
from hub.core.records import ConsentEntry
from hub.services import consent, purposes
from hub.warehouse.views import profile_by_external_id, subjects_of

NewPurpose = Annotated[PurposeCreateInput, strawberry.argument(description="The purpose to make.")]
PurposeChanges = Annotated[PurposeUpdateInput, strawberry.argument(description="What to change.")]
Decision = Annotated[ConsentRecordInput, strawberry.argument(description="Who decided what, and how it is known.")]


@strawberry.type
class ConsentMutations:
    @strawberry.mutation(description="Makes a purpose.")
    @answering(PurposePayload)
    async def purpose_create(self, info: Info, input: NewPurpose) -> PurposePayload:
        return PurposePayload(purpose=Purpose.of(await purposes.create(info.context.hub, **told(input))))

    @strawberry.mutation(description="Changes a purpose's name or description.")
    @answering(PurposePayload)
    async def purpose_update(self, info: Info, key: Key, input: PurposeChanges) -> PurposePayload:
        changed = changes(input, description="")
        return PurposePayload(purpose=Purpose.of(await purposes.update(info.context.hub, key, **changed)))

    @strawberry.mutation(
        description="Records one decision in the ledger. A withdrawal takes effect at once, everywhere."
    )
    @answering(ConsentPayload)
    async def consent_record(self, info: Info, input: Decision) -> ConsentPayload:
        asked = consent.ConsentInput(**told(input))
        entry = await consent.record(info.context.hub, asked)
        return ConsentPayload(consent=await _standing(info.context, asked, entry))


async def _standing(context: Context, asked: consent.ConsentInput, entry: ConsentEntry) -> Consent:
    """Where the person now stands; of somebody named by an identifier, what is recorded under that."""
    about = await context.hub.store.ledger.for_subjects({entry.subject}, entry.purpose)
    linked_at = {entry.subject: entry.recorded_at}
    if asked.external_id is not None and (person := await context.read(profile_by_external_id, asked.external_id)):
        linked_at = (await context.read(subjects_of, [person.pid]))[person.pid]
        about = await context.hub.store.ledger.for_subjects(linked_at, entry.purpose)
    return Consent.of(entry.purpose, about, linked_at, context.hub.clock.now())

"""What can be done about a person."""

from __future__ import annotations

from typing import Annotated

import strawberry

from hub.api.context import Info
from hub.api.payloads import ProfileErasePayload
from hub.api.refusals import answering
from hub.api.types.erasure import Erasure
from hub.api.types.profile import Profile
from hub.api.types.run import Run
from hub.services import erasures

ExternalId = Annotated[str, strawberry.argument(description="The person's external id.")]


@strawberry.type
class ProfileMutations:
    @strawberry.mutation(
        description="Erases a person everywhere and for good. They may not be sent any more as soon as it answers, for "
        "no purpose and under no identifier; destinations remove them and, where the vendor can, erase them; at last "
        "the profile with everything about it goes. It survives restarts and goes on while a destination is paused; "
        "`erasure` says how far it is."
    )
    @answering(ProfileErasePayload)
    async def profile_erase(self, info: Info, external_id: ExternalId) -> ProfileErasePayload:
        begun = await erasures.erase(info.context.hub, external_id)
        return ProfileErasePayload(
            profile=Profile.of(begun.person) if begun.person else None,
            erasure=Erasure.of(begun.erasure),
            runs=[Run.of(run) for run in begun.runs],
        )

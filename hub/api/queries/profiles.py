"""Profiles: one, all, or those behind an identifier."""

from __future__ import annotations

from typing import Annotated

import strawberry

from hub.api.context import Info
from hub.api.types.connection import Connection, Window, page
from hub.api.types.erasure import Erasure
from hub.api.types.profile import Profile
from hub.api.words import UNSET, After, First
from hub.core.identifiers import KINDS, normalise
from hub.errors import ErrorCode, nearest, refuse
from hub.services import erasures
from hub.warehouse import views


@strawberry.type
class ProfileQueries:
    @strawberry.field(description="The person with that external id; null when there is none.")
    async def profile(
        self,
        info: Info,
        external_id: Annotated[str, strawberry.argument(description="The id under which the person was imported.")],
    ) -> Profile | None:
        person = await info.context.read(views.profile_by_external_id, external_id)
        return Profile.of(person) if person else None

    @strawberry.field(
        description="The newest erasure of whoever had that external id, also after it is finished; null when none was "
        "asked for."
    )
    async def erasure(
        self,
        info: Info,
        external_id: Annotated[str, strawberry.argument(description="The id under which the person was imported.")],
    ) -> Erasure | None:
        found = await erasures.erasure_of(info.context.hub, external_id)
        return Erasure.of(found) if found else None

    @strawberry.field(description="The people behind an identifier, e.g. kind `email`, oldest first; at most 100.")
    async def profiles_by_identifier(
        self,
        info: Info,
        kind: Annotated[str, strawberry.argument(description="The kind of identifier, such as email or phone.")],
        value: Annotated[
            str, strawberry.argument(description="The identifier, in any spelling; one that is none is nobody's.")
        ],
    ) -> list[Profile]:
        if kind not in KINDS:
            message = f"“{kind}” is no kind of identifier: use one of {', '.join(KINDS)}."
            raise refuse(ErrorCode.INVALID, message, "kind", suggestion=nearest(kind, KINDS))
        try:
            spelled = normalise(kind, value)
        except ValueError:
            # What cannot be spelled, nobody can have.
            return []
        return [Profile.of(person) for person in await info.context.read(views.profiles_by_identifier, kind, spelled)]

    @strawberry.field(description="Every person, in the order in which they became known.")
    async def profiles(self, info: Info, first: First = UNSET, after: After = UNSET) -> Connection[Profile]:
        window, read = Window.of("profiles", first, after), info.context.read
        people = await read(views.profiles, window.position, window.beyond)
        return page(window, people, lambda person: person.pid, Profile.of, lambda: read(views.count_profiles))

"""Making and revoking write keys."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry import ID

from hub.api.context import Info
from hub.api.ids import number_of
from hub.api.payloads import WriteKeyPayload
from hub.api.refusals import answering
from hub.api.types.writekey import WriteKey
from hub.services import access


@strawberry.type
class WriteKeyMutations:
    @strawberry.mutation(description="Makes a write key; its secret is shown in this answer and never again.")
    @answering(WriteKeyPayload)
    async def write_key_create(
        self, info: Info, name: Annotated[str, strawberry.argument(description="What the key is for.")]
    ) -> WriteKeyPayload:
        made, secret = await access.create_write_key(info.context.hub, name)
        return WriteKeyPayload(write_key=WriteKey.of(made), secret=secret)

    @strawberry.mutation(description="Revokes a write key: nothing comes in with it any more.")
    @answering(WriteKeyPayload)
    async def write_key_revoke(
        self, info: Info, id: Annotated[ID, strawberry.argument(description="The id of the write key.")]
    ) -> WriteKeyPayload:
        revoked = await access.revoke_write_key(info.context.hub, number_of(id, "WriteKey", "id"))
        return WriteKeyPayload(write_key=WriteKey.of(revoked))

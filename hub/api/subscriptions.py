"""What a client may watch."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated

import strawberry
from strawberry import ID

from hub.api.context import Info
from hub.api.ids import number_of
from hub.api.types.run import Run
from hub.services import runs


@strawberry.type(description="What a client may watch, over the graphql-transport-ws protocol.")
class Subscription:
    @strawberry.subscription(description="A run at each change of its counts or status, and once more when it ends.")
    async def run_progress(
        self, info: Info, id: Annotated[ID, strawberry.argument(description="The id of the run.")]
    ) -> AsyncGenerator[Run, None]:
        number = number_of(id, "Run", "id")
        async for record in runs.progress(info.context.hub, number):
            yield Run.of(record)

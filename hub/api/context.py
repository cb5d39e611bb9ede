"""What a resolver has at hand: the hub, the loaders of this request, and a way to read the data plane."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeAlias, TypeVar

import strawberry

from hub.warehouse.engine import Reader

if TYPE_CHECKING:
    from hub.api.loaders import Loaders
    from hub.services.hub import Hub

P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class Context:
    """One per request, or per websocket; `connection_params` is what a websocket said of itself when it opened."""

    hub: Hub
    request: Any = None
    connection_params: dict[str, Any] | None = field(default=None)

    @cached_property
    def loaders(self) -> Loaders:
        from hub.api.loaders import Loaders

        return Loaders(self)

    async def read(self, view: Callable[Concatenate[Reader, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a view of the data plane shows, read in a thread since engines block."""
        return await asyncio.to_thread(view, self.hub.engine, *args, **kwargs)


Info: TypeAlias = strawberry.Info[Context, None]

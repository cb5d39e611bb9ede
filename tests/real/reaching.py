"""A connector as the hub makes it, allowed to reach one server on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

from hub.sdk import Connector, EgressPolicy, Http
from hub.sdk.http import Bounds

C = TypeVar("C", bound=Connector[Any])


@asynccontextmanager
async def reaching(connector: type[C], url: str, **config: Any) -> AsyncIterator[C]:
    policy = EgressPolicy(frozenset({urlsplit(url).netloc}))
    async with Http(policy, Bounds(total_s=180)) as http:
        yield connector(connector.Config.model_validate({"url": url, **config}), http)

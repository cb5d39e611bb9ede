"""What a vendor answers, and what a status usually means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from hub.sdk.errors import AuthError, ConnectorError, RefusedError, TransientError
from hub.sdk.waits import retry_after

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, read whole. `headers` have lower-case names. Nothing of it shows in its repr."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    host: str = ""
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC), repr=False)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The parsed body; raises TransientError where it is not JSON, since then nobody knows what happened."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            raise TransientError(f"{self.host} answered {self.status} with something other than JSON") from None

    def parse(self, shape: type[M]) -> M:
        """The body as `shape`, a pydantic model of what the vendor promises; raises TransientError where it is not."""
        try:
            return shape.model_validate(self.json())
        except ValidationError:
            raise TransientError(f"{self.host} answered {self.status} with JSON of another shape") from None

    def retry_after(self) -> float | None:
        """Seconds the vendor asks to wait, in any of the dialects that `hub.sdk.waits` knows."""
        return retry_after(self.headers, self.status, self.received_at)


Classifier = Callable[[Response], ConnectorError | None]
"""Reads an answer as the error for the whole batch, or as None: the connector goes on with it."""


def by_status(response: Response) -> ConnectorError | None:
    """What a status usually means. A connector whose vendor speaks otherwise wraps this."""
    status, said = response.status, f"{response.host} answered {response.status}"
    if response.ok:
        return None
    if status < 400:
        return AuthError(f"{said}: redirects are not followed, give the final address")
    if status in {401, 403}:
        return AuthError(said)
    if status in {408, 425, 429} or status >= 500:
        return TransientError(said, response.retry_after() if status in {429, 503} else None)
    return RefusedError(said, divisible=status in {400, 409, 413, 422})

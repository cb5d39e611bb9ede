"""The calls to OneSignal, which changes one user per request.

Subscriptions are never sent, so nobody's are changed.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import quote

from hub.sdk import (
    Account,
    Audience,
    Capabilities,
    Channel,
    Connector,
    ConnectorError,
    Feedback,
    FieldValue,
    Inbound,
    Outcome,
    OutcomeKind,
    Person,
    Response,
    Result,
    Window,
    insist_secret,
    plain_word,
)

from . import answers
from .config import EXTERNAL_ID, OneSignalConfig
from .notices import notices

PAGE = 300


class OneSignal(Connector[OneSignalConfig]):
    key = "onesignal"
    title = "OneSignal"
    channel = Channel.PUSH
    # Requests an app may make; what it throttles beyond that, it says with Retry-After.
    capabilities = Capabilities(
        key="external_id", batch=1, concurrency=8, erase=True, feedback=True, limits=(Window(1000, seconds=1.0),)
    )
    Config = OneSignalConfig
    # Keys have no scopes: the app's own may do all of this.
    scopes: ClassVar = ("App API key",)

    async def check(self) -> Account:
        (await self._call("GET", "/segments", params={"limit": 1})).parse(answers.Segments)
        return Account(f"app {self.config.app_id}")

    async def ensure_audience(self, name: str) -> Audience:
        tag = self.config.tag_prefix + plain_word(name)
        if self.config.define_segments and not await self._has_segment(name):
            filters = [{"field": "tag", "key": tag, "relation": "=", "value": "1"}]
            # 409: somebody else has just made it.
            made = await self._call("POST", "/segments", json={"name": name, "filters": filters}, passing=(409,))
            if made.status != 409:
                made.parse(answers.Defined)
        return Audience(name, ref=tag)

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await self._each(people, audience.ref, "1", answers.UNKNOWN_USER)

    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await self._each(people, audience.ref, "", Outcome(OutcomeKind.NOOP))

    async def erase(self, people: Sequence[Person]) -> Result:
        outcomes: dict[str, Outcome] = {}
        for person in people:
            answer = await self._call("DELETE", self._user(person), passing=(404,))
            if answer.status != 404 and answer.parse(answers.Answered).errors:
                outcomes[person.key] = answers.WITH_ERRORS
        return Result(outcomes)

    def feedback(self, request: Inbound) -> Sequence[Feedback]:
        insist_secret(self.config.webhook_secret, request)
        return notices(request.body, ours=self.config.alias == EXTERNAL_ID)

    async def _each(self, people: Sequence[Person], tag: str, value: str, if_unknown: Outcome) -> Result:
        outcomes: dict[str, Outcome] = {}
        for person in people:
            tags = {**{name: _tag_value(field) for name, field in person.fields.items()}, tag: value}
            change = {"properties": {"tags": tags}}
            answer = await self._call("PATCH", self._user(person), json=change, passing=(404,))
            if answer.status == 404:
                outcomes[person.key] = if_unknown
            elif answer.parse(answers.Changed).errors:
                outcomes[person.key] = answers.WITH_ERRORS
        return Result(outcomes)

    async def _has_segment(self, name: str) -> bool:
        for offset in itertools.count(0, PAGE):
            page = (await self._call("GET", "/segments", params={"limit": PAGE, "offset": offset})).parse(
                answers.Segments
            )
            if any(segment.name == name for segment in page.segments) or len(page.segments) < PAGE:
                break
        return any(segment.name == name for segment in page.segments)

    def _user(self, person: Person) -> str:
        return f"/users/by/{self.config.alias}/{quote(person.key, safe='')}"

    async def _call(self, method: str, path: str, *, passing: tuple[int, ...] = (), **request: Any) -> Response:
        """`passing` are the refusals that the caller reads itself."""

        def classify(response: Response) -> ConnectorError | None:
            return None if response.status in passing else answers.by_meaning(response)

        key = f"{self.config.auth_scheme} {self.config.api_key.get_secret_value()}"
        url = f"{self.config.api_url.rstrip('/')}/apps/{self.config.app_id}{path}"
        return await self.http.request(method, url, headers={"authorization": key}, classify=classify, **request)


def _tag_value(value: FieldValue) -> str:
    """Tags are texts; an empty one deletes the tag."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else ",".join(value)

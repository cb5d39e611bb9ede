"""What a connector that speaks HTTP promises besides: about its requests, and about answers that go wrong."""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, ClassVar

import httpx
import pytest

from hub.sdk.contract import Audience, Batch, Outcome
from hub.sdk.errors import AuthError, ConnectorError, RefusedError, TransientError
from hub.sdk.testing.contract import ConnectorContract
from hub.sdk.testing.corpus import GARBAGE, resubscribing, truncated
from hub.sdk.testing.stage import DONE, Stage
from hub.sdk.testing.tokens import TokensContract
from hub.sdk.testing.vendor import HttpVendor

Call = Callable[[], Awaitable[object]]


class HttpConnectorContract(ConnectorContract, TokensContract):
    """`volatile_headers` may differ between two sendings of one batch, such as a time and a signature, and so may
    `volatile_fields` of a JSON body, however deep.
    `garbage` is what the vendor never answers when all went well: leave out a body that it does mean as success.
    `consent_fields` tell the vendor what people have agreed to, and `membership_words`, paths and fields, are its words
    about lists: they subscribe nobody although they sound so."""

    volatile_headers: ClassVar[frozenset[str]] = frozenset()
    volatile_fields: ClassVar[frozenset[str]] = frozenset()
    garbage: ClassVar[Iterable[bytes]] = GARBAGE
    consent_fields: ClassVar[frozenset[str]] = frozenset()
    membership_words: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def make_vendor(self) -> HttpVendor: ...

    # -- requests -----------------------------------------------------------------------------------------------------

    async def test_the_same_batch_makes_the_same_requests(self) -> None:
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            for batch in (stage.one_batch(), stage.one_batch(removing=True)):
                # Once before: the first sending may find people missing that the second finds there.
                await stage.connector.apply(audience, batch)
                assert await self._requests(stage, audience, batch) == await self._requests(stage, audience, batch)

    async def test_no_request_could_change_a_subscription(self) -> None:
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            await stage.send(audience, add=stage.people("ann", "bob"))
            await stage.send(audience, add=stage.people("cem"), remove=stage.people("ann", bare=True))
            for request in stage.wire.requests:
                harmless = self.consent_fields | self.membership_words
                suspect = resubscribing(request.url.path, request.content, harmless)
                assert not suspect, f"{request.method} {request.url.path} sends {suspect}"

    async def test_everyones_subscription_at_the_vendor_stays_as_it_was(self) -> None:
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            people = stage.people("ann", "bob", "cem")
            for person, state in zip(people, ("unsubscribed", "cleaned", "subscribed"), strict=True):
                stage.vendor.know(person.key, state)
            before = dict(stage.vendor.subscriptions)
            await stage.send(audience, add=people)
            await stage.send(audience, remove=people)
            for key, state in before.items():
                now = stage.vendor.subscriptions.get(key)
                assert now == state, f"at the vendor, {key} was {state} and is {now} after an add and a remove"

    async def test_a_secret_never_travels_in_an_address(self) -> None:
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            await stage.send(audience, add=stage.people("ann"))
            secrets = stage.private() - {
                text for person in stage.people("ann", "bob") for text in (person.key, person.id)
            }
            for request in stage.wire.requests:
                shown = [secret for secret in secrets if secret in str(request.url)]
                assert not shown, f"{request.method} {request.url.path} has {', '.join(shown)} in its address"

    # -- answers that go wrong ----------------------------------------------------------------------------------------

    async def test_a_throttle_is_transient_and_says_how_long(self) -> None:
        for status in (429, 503):
            for error in await self._errors(status, b"slow down", Retry_After="7"):
                assert isinstance(error, TransientError), f"{status} became {error!r}"
                assert error.retry_after == 7.0, f"{status} with Retry-After: 7 became {error.retry_after}"

    async def test_a_refused_account_is_an_auth_error(self) -> None:
        for status in (401, 403):
            for error in await self._errors(status, b'{"message": "no"}'):
                assert isinstance(error, AuthError), f"{status} became {error!r}"

    async def test_a_fault_of_the_vendor_is_transient(self) -> None:
        for status in (408, 425, 500, 502, 503, 504):
            for error in await self._errors(status, b"<html>oops</html>"):
                assert isinstance(error, TransientError), f"{status} became {error!r}"

    async def test_a_refused_request_is_not_tried_for_ever(self) -> None:
        for error in await self._errors(422, b'{"message": "no"}', checking=False):
            assert isinstance(error, RefusedError | AuthError), f"422 became {error!r}"

    async def test_a_redirect_is_an_error(self) -> None:
        for error in await self._errors(302, b"", Location="https://elsewhere.example/"):
            assert isinstance(error, ConnectorError)

    async def test_an_unreachable_vendor_was_not_sent_to_and_a_silent_one_perhaps(self) -> None:
        for fault, sent in ((httpx.ConnectError, False), (httpx.ReadTimeout, True), (httpx.RemoteProtocolError, True)):
            async with self.staged() as stage:
                audience = await stage.connector.ensure_audience(self.audience)
                batch = stage.one_batch()
                with stage.wire.breaking(fault):
                    error = await error_of(partial(stage.connector.apply, audience, batch))
                assert isinstance(error, TransientError) and error.sent is sent, f"{fault.__name__} became {error!r}"

    async def test_garbage_is_never_success(self) -> None:
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            putting, taking = stage.one_batch(), stage.one_batch(removing=True)
            for batch, undoing in ((putting, taking), (taking, putting)):
                await stage.apply(audience, undoing)
                for number, body in enumerate(await self._answers(stage, audience, batch)):
                    for garbage in (*self.garbage, *(cut for cut in truncated(body) if cut.strip())):
                        # What is done already takes fewer requests: who is not there need not be taken out.
                        await stage.apply(audience, undoing)
                        await self._garbage_is_no_success(stage, audience, batch, number, garbage)

    async def test_garbage_is_no_audience_and_no_account(self) -> None:
        async with self.staged() as stage:
            for garbage in (b"<html>sign in</html>", b'{"ok":', b"[]", b"null"):
                await stage.connector.check()
                requests = len(stage.wire.requests)
                with stage.wire.answering(200, garbage):
                    error = await error_of(lambda: stage.connector.ensure_audience(self.audience))
                    asked = len(stage.wire.requests) > requests
                assert not asked or isinstance(error, ConnectorError), f"{garbage!r} became an audience"

    async def test_garbage_erases_nobody(self) -> None:
        self._skip_without("erase")
        async with self.staged() as stage:
            people = stage.people("ann", bare=True)
            for garbage in self.garbage:
                with stage.wire.answering(200, garbage):
                    try:
                        result = await stage.connector.erase(people)
                    except ConnectorError:
                        continue
                done = result.outcomes.get(people[0].key, Outcome(result.rest)).kind in DONE
                assert not done, f"200 with {garbage[:40]!r} counted as an erasure"

    async def test_garbage_about_a_job_is_no_word(self) -> None:
        self._skip_without("jobs")
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            batch = stage.one_batch()
            job = (await stage.connector.apply(audience, batch)).job or pytest.skip("this vendor answers at once")
            for garbage in self.garbage:
                with stage.wire.answering(200, garbage):
                    try:
                        result = await stage.connector.poll(audience, job, [person.key for person in batch.add])
                    except ConnectorError as error:
                        assert not isinstance(error, RefusedError), f"nobody was refused by {garbage[:40]!r}"
                        continue
                said = f"200 with {garbage[:40]!r} passed for the end of a job"
                assert result.job is not None or result.rest not in DONE, said

    async def test_garbage_lists_nobody(self) -> None:
        self._skip_without("read_back")
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            for garbage in self.garbage:
                with stage.wire.answering(200, garbage):
                    error = await error_of(partial(_read_back, stage, audience))
                assert error is not None, f"200 with {garbage[:40]!r} passed for a list of members"

    async def test_garbage_counts_nobody(self) -> None:
        self._skip_without("counts")
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            for garbage in self.garbage:
                with stage.wire.answering(200, garbage):
                    error = await error_of(partial(stage.connector.count, audience))
                assert error is not None, f"200 with {garbage[:40]!r} passed for a number of members"

    async def test_no_error_shows_a_person_or_a_secret(self) -> None:
        for status in (200, 400, 401, 404, 409, 422, 429, 500, 503):
            async with self.staged() as stage:
                audience = await stage.connector.ensure_audience(self.audience)
                batch = stage.one_batch()
                with stage.wire.bending(partial(_echo, status)):
                    error = await error_of(partial(stage.connector.apply, audience, batch))
                    others = [await error_of(call) for call in self._other_calls(stage)]
                for shown in filter(None, [error, *others]):
                    assert not stage.leaks(shown), f"{status} echoed: {shown!r} shows {stage.leaks(shown)}"

    # -- the kit's own ------------------------------------------------------------------------------------------------

    async def _requests(self, stage: Stage, audience: Audience, batch: Batch) -> list[tuple[Any, ...]]:
        before = len(stage.wire.requests)
        await stage.connector.apply(audience, batch)
        # The length goes with the body, which is compared itself.
        passing = self.volatile_headers | {"content-length"}
        kept = [
            (
                request.method,
                str(request.url),
                _without(self.volatile_fields, request.content),
                sorted((name, value) for name, value in request.headers.items() if name not in passing),
            )
            for request in stage.wire.requests[before:]
        ]
        assert kept, "apply sent nothing"
        return kept

    async def _answers(self, stage: Stage, audience: Audience, batch: Batch) -> list[bytes]:
        """The vendor's own answers to the requests of one batch."""
        answers: list[bytes] = []
        stage.restart()

        def listen(request: httpx.Request, _: int) -> httpx.Response:
            response = stage.wire.vendors_own(request)
            answers.append(response.content)
            return response

        with stage.wire.bending(listen):
            await stage.connector.apply(audience, batch)
        return answers

    async def _garbage_is_no_success(
        self, stage: Stage, audience: Audience, batch: Batch, number: int, garbage: bytes
    ) -> None:
        asked = len(stage.wire.requests)

        def bend(_: httpx.Request, count: int) -> httpx.Response | None:
            return httpx.Response(200, content=garbage) if count == number else None

        outcomes: dict[str, Outcome] = {}
        # Whoever remembers ids or a token would make fewer requests than those that were counted.
        stage.restart()
        with stage.wire.bending(bend):
            try:
                outcomes = await stage.apply(audience, batch)
            except ConnectorError as error:
                assert not isinstance(error, RefusedError), f"nobody was refused by {garbage[:40]!r}"
                return
        if len(stage.wire.requests) - asked <= number:
            return  # What was done already took fewer requests, and none of them was answered with garbage.
        done = [outcome for outcome in outcomes.values() if outcome.kind in DONE]
        request = stage.wire.requests[asked + number]
        assert len(done) < len(outcomes), (
            f"{request.method} {request.url.path} answered 200 with {garbage[:40]!r}: counted as success"
            " (where the vendor means success by that, leave it out of `garbage`)"
        )

    async def _errors(
        self, status: int, body: bytes, *, checking: bool = True, **headers: str
    ) -> list[ConnectorError | None]:
        """What that answer becomes in an add, in a remove, and where they fail in the other calls."""
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            batches = [stage.one_batch(), stage.one_batch(removing=True)]
            with stage.wire.answering(status, body, **headers):
                errors = [await error_of(partial(stage.connector.apply, audience, batch)) for batch in batches]
                others = [await error_of(call) for call in self._other_calls(stage)] if checking else []
            return [*errors, *filter(None, others)]

    def _other_calls(self, stage: Stage) -> list[Call]:
        return [stage.connector.check, lambda: stage.connector.ensure_audience(self.audience)]


async def _read_back(stage: Stage, audience: Audience) -> set[str]:
    return {key async for key in stage.connector.members(audience)}


async def error_of(call: Call) -> ConnectorError | None:
    try:
        await call()
    except ConnectorError as error:
        return error
    return None


def _without(names: frozenset[str], body: bytes) -> Any:
    """A JSON body without these fields; any body as it is, where there are none."""

    def kept(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {name: value for name, value in pairs if name not in names}

    return json.loads(body, object_pairs_hook=kept) if names and body else body


def _echo(status: int, request: httpx.Request, _: int) -> httpx.Response:
    """A vendor that repeats all it was sent."""
    told = f"{request.url} {dict(request.headers)} ".encode() + request.content
    return httpx.Response(status, content=told, headers={"x-echo": "1"})

"""What every connector promises, over whatever it speaks: one promise, one test."""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

import ast
import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, ValidationError

from hub.sdk.config import URL_MARK, secret_fields
from hub.sdk.contract import KEYS, Batch, Capabilities, Connector, FieldValue, OutcomeKind, Person
from hub.sdk.errors import RefusedError
from hub.sdk.testing.feedback import FeedbackContract
from hub.sdk.testing.jobs import JobsContract
from hub.sdk.testing.reading import ReadingContract
from hub.sdk.testing.stage import DONE, Stage, assert_done, secrets_in, staged
from hub.sdk.testing.vendor import Vendor

SOUNDS_SECRET = ("secret", "password", "token", "api_key", "apikey", "private", "credential")
SOUNDS_LIKE_URL = ("url", "uri", "endpoint", "webhook")
OTHER_WAYS_OUT = {"httpx", "requests", "urllib3", "aiohttp", "http.client", "urllib.request", "socket", "httpcore"}
# By capability, what a connector that has it writes: one of these.
OF_CAPABILITY = {
    "read_back": ("members_page", "members"),
    "counts": ("count",),
    "jobs": ("poll",),
    "erase": ("erase",),
    "replace": ("begin",),
    "feedback": ("feedback",),
}


@pytest.mark.asyncio
class ConnectorContract(ReadingContract, JobsContract, FeedbackContract, ABC):
    """Set `connector` and `config`, write `make_vendor`. `fields` are mapped traits to send along, under the vendor's
    names. Where the vendor refuses nobody, set `refuses_people = False`."""

    config: ClassVar[Mapping[str, Any]] = {}
    fields: ClassVar[Mapping[str, FieldValue]] = {}
    refuses_people: ClassVar[bool] = True

    @abstractmethod
    def make_vendor(self) -> Vendor:
        """A fresh fake of the vendor."""

    def staged(self) -> AbstractAsyncContextManager[Stage]:
        return staged(self.connector, self.config, self.make_vendor(), self.fields)

    # -- membership ---------------------------------------------------------------------------------------------------

    async def test_adding_puts_people_into_the_audience(self) -> None:
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            outcomes = await stage.send(audience, add=stage.people("ann", "bob", "cem"))
            assert_done(outcomes)
            stage.assert_members(audience, "ann", "bob", "cem")

    async def test_removing_takes_them_out_and_nobody_else(self) -> None:
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            await stage.send(audience, add=stage.people("ann", "bob", "cem"))
            outcomes = await stage.send(audience, remove=stage.people("bob", bare=True))
            assert_done(outcomes)
            stage.assert_members(audience, "ann", "cem")

    async def test_adding_twice_is_adding_once(self) -> None:
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            people = stage.people("ann", "bob")
            await stage.send(audience, add=people)
            outcomes = await stage.send(audience, add=people)
            assert_done(outcomes)
            stage.assert_members(audience, "ann", "bob")

    async def test_removing_twice_is_removing_once(self) -> None:
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            await stage.send(audience, add=stage.people("ann", "bob"))
            for _ in range(2):
                outcomes = await stage.send(audience, remove=stage.people("ann", "never-there", bare=True))
                assert_done(outcomes)
            stage.assert_members(audience, "bob")

    async def test_adds_and_removes_of_one_batch_are_both_carried_out(self) -> None:
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            await stage.send(audience, add=stage.people("ann"))
            await stage.send(audience, add=stage.people("bob"), remove=stage.people("ann", bare=True))
            stage.assert_members(audience, "bob")

    async def test_a_full_batch_is_taken_whole(self) -> None:
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            names = [f"n{number}" for number in range(min(stage.connector.limits().batch, 2000))]
            await stage.send(audience, add=stage.people(*names))
            stage.assert_members(audience, *names)

    async def test_ensuring_an_audience_twice_yields_the_same_one(self) -> None:
        async with self.staged() as stage:
            first = await stage.connector.ensure_audience(self.audience)
            await stage.send(first, add=stage.people("ann"))
            again = await stage.connector.ensure_audience(self.audience)
            assert again == first and first.name == self.audience
            stage.assert_members(again, "ann")

    async def test_two_names_are_two_audiences(self) -> None:
        async with self.staged() as stage:
            spellings = [self.audience, f"{self.audience}!", self.audience.upper(), self.audience.replace(" ", "_")]
            audiences = [await stage.connector.ensure_audience(name) for name in spellings]
            assert len({audience.ref for audience in audiences}) == len(set(spellings))

    async def test_checking_changes_nothing(self) -> None:
        async with self.staged() as stage:
            await stage.send(await stage.connector.ensure_audience(self.audience), add=stage.people("ann"))
            before = stage.vendor.state()
            assert (await stage.connector.check()).label
            assert stage.vendor.state() == before

    # -- outcomes -----------------------------------------------------------------------------------------------------

    async def test_a_refused_person_is_reported_and_the_others_go_in(self) -> None:
        self._skip_where_nobody_is_refused()
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            refused = self._someone_refused(stage)
            outcomes = await stage.send(audience, add=[*stage.people("ann", "bob"), refused])
            told = outcomes.pop(refused.key).kind
            said = f"the vendor refused {refused.key}, and the connector says {told}: read its answer for everybody"
            assert told in {OutcomeKind.REJECTED, OutcomeKind.SUPPRESSED}, said
            assert_done(outcomes)
            stage.assert_members(audience, "ann", "bob")

    async def test_a_reason_names_no_person(self) -> None:
        self._skip_where_nobody_is_refused()
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            refused = self._someone_refused(stage)
            outcome = (await stage.send(audience, add=[refused]))[refused.key]
            assert outcome.reason, "a refusal needs a reason"
            shown = {text for text in stage.private() if text in outcome.reason}
            assert not shown, f"the reason shows {', '.join(sorted(shown))}: put the vendor's words through scrubbed()"

    async def test_outcomes_name_only_people_of_the_batch(self) -> None:
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            people = stage.people("ann", "bob", *(["refused"] if self.refuses_people else []))
            if self.refuses_people:
                self._someone_refused(stage)
            for batch in stage.batches(people, ()):
                try:
                    result = await stage.connector.apply(audience, batch)
                except RefusedError as error:
                    assert error.divisible, "one row spoils the batch of everybody"
                    continue
                assert set(result.outcomes) <= {person.key for person in batch.add}
                assert result.rest in {OutcomeKind.ACCEPTED, OutcomeKind.UNKNOWN}

    async def test_the_batch_is_left_as_it_was(self) -> None:
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            for batch in (*stage.batches(stage.people("ann", "bob"), ()), *stage.batches((), stage.people("ann"))):
                before = _told(batch)
                await stage.connector.apply(audience, batch)
                assert _told(batch) == before

    async def test_an_empty_batch_is_no_fault(self) -> None:
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            result = await stage.connector.apply(audience, Batch(run="run-0", sync="kit-sync"))
            assert result.outcomes == {}

    # -- capabilities -------------------------------------------------------------------------------------------------

    async def test_what_is_declared_is_written(self) -> None:
        faults = [fault for capability in OF_CAPABILITY if (fault := self._undone(capability))]
        assert not faults, "; ".join(faults)

    async def test_limits_make_sense(self) -> None:
        async with self.staged() as stage:
            for limits in (self.connector.capabilities, stage.connector.limits()):
                assert isinstance(limits, Capabilities)
                assert limits.key in KEYS, f"{limits.key} is no kind of identifier that the hub knows"
                assert limits.batch >= 1 and 1 <= limits.concurrency <= 64 and limits.in_flight_s > 0
            assert (
                stage.connector.limits().batch <= self.connector.capabilities.batch
                or "batch" in type(stage.connector.config).model_fields
            ), "a batch above the declared one must come from the configuration"

    async def test_erasing_leaves_nothing_and_may_be_repeated(self) -> None:
        self._skip_without("erase")
        async with self.staged() as stage:
            audience = await stage.connector.ensure_audience(self.audience)
            await stage.send(audience, add=stage.people("ann", "bob"))
            # Named once: whoever the stage names is known to the vendor again.
            gone = stage.people("ann", bare=True)
            for _ in range(2):
                result = await stage.connector.erase(gone)
                assert {outcome.kind for outcome in result.outcomes.values()} <= DONE and result.rest in DONE
            stage.assert_members(audience, "bob")

    # -- configuration ------------------------------------------------------------------------------------------------

    async def test_every_field_of_the_configuration_is_described(self) -> None:
        undescribed = [path for path, field in _fields(self.connector.Config) if not field.description]
        assert not undescribed, f"without a description: {', '.join(undescribed)}"
        assert self.connector.title and self.connector.config_schema()["type"] == "object"

    async def test_secrets_are_typed_as_secrets(self) -> None:
        for path, field in _fields(self.connector.Config):
            name = path.rpartition(".")[2].lower()
            if any(word in name for word in SOUNDS_SECRET):
                assert "SecretStr" in str(field.annotation), f"{path} sounds like a secret: type it SecretStr"

    async def test_addresses_are_typed_as_urls(self) -> None:
        for path, field in _fields(self.connector.Config):
            name = path.rpartition(".")[2].lower()
            if any(word in name.split("_") for word in SOUNDS_LIKE_URL) and "SecretStr" not in str(field.annotation):
                marked = URL_MARK in field.metadata or repr(URL_MARK) in str(field.annotation)
                assert marked, f"{path} sounds like an address: type it Url, so that the egress policy is asked"

    async def test_secrets_do_not_show_when_printed(self) -> None:
        async with self.staged() as stage:
            config = stage.connector.config
            shown = f"{config!r} {config} {stage.connector!r} {config.model_dump_json()} {config.model_dump()}"
            told = [secret for secret in secrets_in(config) if len(secret) > 3 and secret in shown]
            assert not told, "a secret shows in the configuration's or the connector's own words"

    async def test_a_misspelt_field_is_refused(self) -> None:
        with pytest.raises(ValidationError):
            self.connector.Config.model_validate({**self.config, "mispelt_field": "x"})

    async def test_a_wrong_secret_is_not_repeated_in_the_refusal(self) -> None:
        for name in secret_fields(self.connector.Config):
            for wrong in ("wr0ng-s3cret-value", {"x": "wr0ng-s3cret-value"}, ["wr0ng-s3cret-value"]):
                try:
                    self.connector.Config.model_validate({**self.config, name: wrong})
                except ValidationError as error:
                    assert "wr0ng-s3cret-value" not in str(error), f"{name} is repeated: hide_input_in_errors"

    async def test_only_the_sdk_is_imported_from_the_hub(self) -> None:
        package = self.connector.__module__.partition(".")[0]
        for module in (name for name in _imports(self.connector.__module__) if name.partition(".")[0] != package):
            assert not module.startswith("hub") or module.startswith(("hub.sdk", "hub.errors")), f"imports {module}"
            assert module not in OTHER_WAYS_OUT, f"imports {module}: every request goes through self.http"

    # -- the kit's own ------------------------------------------------------------------------------------------------

    def _undone(self, capability: str) -> str:
        """What is declared and not written, or written and not declared; empty where the two agree."""
        methods = OF_CAPABILITY[capability]
        written = [name for name in methods if getattr(self.connector, name) is not getattr(Connector, name)]
        declared = getattr(self.connector.capabilities, capability)
        if declared and not written:
            return f"{capability} is declared, but {methods[0]} is not written"
        if written and not declared and capability != "replace":
            return f"{written[0]} is written, but {capability} is not declared"
        return ""

    def _someone_refused(self, stage: Stage) -> Person:
        person = stage.person("refused")
        stage.vendor.refuse(person.key, f"{person.key} looks fake or invalid ({person.id}, {dict(person.fields)})")
        return person

    def _skip_where_nobody_is_refused(self) -> None:
        if not self.refuses_people:
            pytest.skip("this vendor refuses nobody")


def _told(batch: Batch) -> list[tuple[Any, ...]]:
    """All that a batch says, apart from it."""
    people = (*batch.add, *batch.remove)
    return [(len(batch.add), one.id, one.key, str(dict(one.fields)), str(dict(one.signals))) for one in people]


def _fields(config: type[BaseModel], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in config.model_fields.items():
        yield f"{above}{name}", field
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if inspect.isclass(part) and issubclass(part, BaseModel):
                yield from _fields(part, f"{above}{name}.")


def _imports(module: str) -> Iterator[str]:
    source = inspect.getsource(sys.modules[module])
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module

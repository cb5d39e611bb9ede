"""The whole story of a sync, through the hub: what every connector must carry out when it is not the kit that calls it.

Put it before the kit's class, and the same connector, configuration, fields and fake are told through a real hub too:

    class TestAcme(ThroughTheHub, HttpConnectorContract):
        connector = Acme
        config: ClassVar = {"token": "acme-token-1234"}
        fields: ClassVar = {"first_name": "Annabella"}

        def make_vendor(self) -> FakeAcme:
            return FakeAcme()

If the vendor takes only certain values, `changed` says what a field may change to. What is not for a vendor is skipped,
saying why.
"""

from __future__ import annotations

import hashlib
import re
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from hub.core.records import ConsentAction, RunCause, RunStatus, WithheldReason
from hub.errors import ErrorCode
from hub.sdk.contract import Connector, FieldValue
from hub.sdk.testing import HttpConnectorContract, HttpVendor, Vendor
from hub.sdk.testing.stage import key_of
from hub.services import destinations
from hub.warehouse.views import profile_by_external_id
from tests.connectors.story import Beginning, Story, begin, begun, told
from tests.moulds import in_a_loop_of_its_own
from tests.searching import LONGER
from tests.services.shop import until

RETRY_AFTER_S = 7
MOST_THROTTLES = 5


class ThroughTheHub:
    connector: ClassVar[type[Connector[Any]]]
    config: ClassVar[Mapping[str, Any]] = {}
    fields: ClassVar[Mapping[str, FieldValue]] = {}
    refuses_people: ClassVar[bool] = True
    changed: ClassVar[Mapping[str, FieldValue]] = {}

    @abstractmethod
    def make_vendor(self) -> Vendor: ...

    @pytest.fixture(scope="class")
    @classmethod
    def beginning(cls, tmp_path_factory: pytest.TempPathFactory) -> Beginning | None:
        """Told once and copied for each story that goes on from there; a vendor that is no object here cannot be."""
        cls._skip_further_configurations()
        if not issubclass(cls, HttpConnectorContract):
            return None
        return in_a_loop_of_its_own(begin(cls(), tmp_path_factory.mktemp("beginning")))

    @pytest.fixture
    async def story(self, tmp_path: Path) -> AsyncIterator[Story]:
        """Nobody is in yet."""
        self._skip_further_configurations()
        async with told(self, tmp_path) as story:
            yield story

    @pytest.fixture
    async def begun(self, beginning: Beginning | None, tmp_path: Path) -> AsyncIterator[Story]:
        """`ann` and `bob` are in."""
        async with begun(self, tmp_path, beginning) as story:
            yield story

    async def test_through_the_hub_whoever_agreed_goes_in_and_nobody_else(self, story: Story) -> None:
        await story.admit("ann", "bob")
        run = await story.send()
        assert (run.status, run.counts.added) == (RunStatus.SUCCEEDED, 2), run.failure
        assert run.withheld == {WithheldReason.NO_CONSENT: 1}
        assert await story.members() == story.keys("ann", "bob")
        asked = len(story.wire.requests)
        again = await story.send()
        assert (again.status, again.counts.unchanged) == (RunStatus.SUCCEEDED, 2)
        assert self.connector.capabilities.snapshot or len(story.wire.requests) == asked, "nothing was new"
        assert await story.members() == story.keys("ann", "bob")

    async def test_through_the_hub_a_changed_field_reaches_the_vendor(self, begun: Story) -> None:
        if not self.fields:
            pytest.skip("this vendor takes no fields")
        asked, changed = len(begun.wire.requests), dict(self.changed) or _changed(self.fields)
        assert not _heard(begun, asked, changed), "the vendor knows it already: choose other values"
        await begun.map("ann", changed)
        run = await begun.send()
        assert (run.status, run.counts.updated) == (RunStatus.SUCCEEDED, 1), run.failure
        assert _heard(begun, asked, changed), "the vendor never heard of the change"
        assert await begun.members() == begun.keys("ann", "bob")

    async def test_through_the_hub_whoever_leaves_is_removed_and_whoever_comes_back_is_in_again(
        self, begun: Story
    ) -> None:
        await begun.change({"name": "bob", "belongs": "no"})
        left = await begun.send()
        assert (left.status, left.counts.removed) == (RunStatus.SUCCEEDED, 1), left.failure
        assert await begun.members() == begun.keys("ann")
        await begun.change({"name": "bob", "belongs": "yes"})
        back = await begun.send()
        assert (back.status, back.counts.added) == (RunStatus.SUCCEEDED, 1), back.failure
        assert await begun.members() == begun.keys("ann", "bob")

    async def test_through_the_hub_every_identifier_goes_in_and_out_again(self, story: Story) -> None:
        kinds = story.stage.connector.limits().identifiers
        if len(kinds) < 2:
            pytest.skip("this vendor knows a person by one identifier")
        await story.admit("ann", "bob")
        await story.change({"name": "ann", **{kind: key_of(kind, "ann") for kind in kinds}})
        run = await story.send()
        assert (run.status, run.counts.added) == (RunStatus.SUCCEEDED, len(kinds) + 1), run.failure
        members = await story.members()
        assert len(members) == len(kinds) + 1 and story.keys("ann", "bob") < members
        await story.change({"name": "ann", "belongs": "no"})
        await story.send()
        assert await story.members() == story.keys("bob")

    async def test_through_the_hub_a_withdrawal_is_removed_by_a_run_of_its_own(self, begun: Story) -> None:
        await begun.decide("bob", ConsentAction.WITHDRAW)
        run = await begun.ended_by(RunCause.WITHDRAWAL)
        assert (run.status, run.counts.removed) == (RunStatus.SUCCEEDED, 1), run.failure
        assert await begun.members() == begun.keys("ann")

    async def test_through_the_hub_whoever_says_no_at_the_vendor_is_heard_and_removed(self, begun: Story) -> None:
        if not begun.stage.connector.limits().feedback:
            pytest.skip("this vendor tells nothing")
        told = begun.vendor.tells(begun.vendor.notices[-1], begun.key("bob"))
        assert [(await begun.hear(told)).accepted for _ in range(2)] == [1, 1]
        run = await begun.ended_by(RunCause.WITHDRAWAL)
        assert (run.status, run.counts.removed) == (RunStatus.SUCCEEDED, 1), run.failure
        assert await begun.members() == begun.keys("ann")
        again = await begun.send()
        assert again.withheld == {WithheldReason.NO_CONSENT: 2}

    async def test_through_the_hub_whom_the_vendor_refuses_is_rejected_and_the_others_go_in(self, story: Story) -> None:
        if not self.refuses_people:
            pytest.skip("this vendor refuses nobody")
        refused = story.stage.person("refused")
        story.vendor.refuse(refused.key, f"{refused.key} looks fake or invalid ({refused.id}, {dict(refused.fields)})")
        await story.admit("ann", "bob", "refused")
        run = await story.send()
        assert (run.status, run.counts.added, run.counts.rejected) == (RunStatus.PARTIAL, 2, 1), run
        assert await story.members() == story.keys("ann", "bob")
        [reason] = story.reasons()
        assert reason, "a refusal needs a reason"
        assert not {text for text in story.stage.private() if text in reason}

    async def test_through_the_hub_a_throttle_is_waited_for(self, story: Story) -> None:
        self._skip_without_http(story)
        await story.admit("ann", "bob")
        throttled: dict[tuple[str, str], float] = {}

        def throttle(request: httpx.Request, _: int) -> httpx.Response | None:
            """Each kind of request once."""
            kind = request.method, _without_ids(request.url.path)
            if kind in throttled or len(throttled) >= MOST_THROTTLES:
                return None
            throttled[kind] = story.time.now
            return httpx.Response(429, headers={"retry-after": str(RETRY_AFTER_S)})

        with story.wire.bending(throttle):
            run = await story.send()
        assert run.status is RunStatus.SUCCEEDED and await story.members() == story.keys("ann", "bob"), run.failure
        assert throttled and story.time.now >= max(throttled.values()) + RETRY_AFTER_S

    async def test_through_the_hub_a_lost_account_pauses_the_destination_which_goes_on_when_resumed(
        self, begun: Story
    ) -> None:
        self._skip_without_http(begun)
        await begun.admit("cem")
        with begun.wire.answering(401, b'{"message": "no"}'):
            run = await begun.send()
        destination = await begun.hub.store.destinations.need("vendor")
        assert run.status is RunStatus.FAILED and destination.paused and destination.paused_reason
        assert run.failure == destination.paused_reason and run.failure.code is ErrorCode.DESTINATION_AUTH
        assert not {text for text in begun.stage.private() if text in run.failure.message}
        await begun.decide("bob", ConsentAction.WITHDRAW)
        await destinations.resume(begun.hub, "vendor")
        await begun.send()
        await begun.ended_by(RunCause.WITHDRAWAL)
        assert await begun.members() == begun.keys("ann", "cem")

    async def test_through_the_hub_whoever_is_erased_is_gone_there_and_here(self, begun: Story) -> None:
        erasures = pytest.importorskip("hub.services.erasures", reason="the hub erases nobody so far")
        own = begun.stage.person("ann").id
        await erasures.erase(begun.hub, own)

        async def gone() -> bool:
            await begun.rest()
            return profile_by_external_id(begun.hub.engine, own) is None

        await until(gone, seconds=60)
        assert await begun.members() == begun.keys("bob")

    @classmethod
    def _skip_further_configurations(cls) -> None:
        if LONGER == 1 and ThroughTheHub not in cls.__bases__:
            pytest.skip("another configuration of a connector that is told through the hub: see make test-long")

    def _skip_without_http(self, story: Story) -> None:
        if not isinstance(story.vendor, HttpVendor):
            pytest.skip("this vendor is not reached over HTTP")


def _changed(fields: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
    """Another value for one of the fields: a name, where one is a text."""
    for name, value in fields.items():
        if isinstance(value, str):
            return {name: "Rosalinde"}
    return next({name: 471_100} for name, value in fields.items() if isinstance(value, int | float))


def _heard(story: Story, asked: int, fields: Mapping[str, FieldValue]) -> bool:
    """Whether these values, plain or hashed, have come to the vendor since so many requests."""
    heard = [f"{request.url} {request.content.decode(errors='replace')}" for request in story.wire.requests[asked:]]
    heard += [file.read_text(errors="replace") for file in story.vendor.folder.rglob("*") if file.is_file()]
    heard.append(str(story.vendor.state()))
    plain = {str(value) for value in fields.values()}
    spelled = plain | {hashlib.sha256(text.lower().encode()).hexdigest() for text in plain}
    return any(text in one for text in spelled for one in heard)


def _without_ids(path: str) -> str:
    return re.sub(r"[^/]*[0-9@%][^/]*", "…", path)

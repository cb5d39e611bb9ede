"""One connector inside a real hub: stores, worker and the one HTTP client; the vendor is a fake at the socket.

Time that a vendor makes the hub wait passes as soon as somebody sleeps through it.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Protocol

import respx
from structlog.testing import capture_logs

from hub.core.consent_form import ConsentInput
from hub.core.records import ConsentAction, Destination, Run, RunCause, Sync
from hub.plugins import Registry
from hub.sdk import Audience, Connector, FieldValue, Inbound
from hub.sdk.egress import EgressPolicy
from hub.sdk.testing import HttpVendor, Stage, Vendor, Wire
from hub.sdk.testing.stage import key_of
from hub.services import consent, destinations, intake, purposes, runs, segments, syncs
from hub.services.feedback import Heard, Listener
from hub.services.hub import Hub
from hub.services.limiters import Limiter
from hub.services.retry import RetryPolicy
from hub.services.vendors import FILES, Vendors
from hub.services.worker import Worker
from tests.services.opened import TestClock, opened
from tests.services.shop import until

# As the kit calls its own: a name that has to be made to fit at most vendors.
AUDIENCE = "kit audience"
PATIENT = RetryPolicy(attempts=20, first_s=0.01, most_s=0.02, random=Random(1))
LONGEST_TEST_S = 120.0
HUB = "hub"


class Told(Protocol):
    """What a test class says of its connector, for the kit and for this alike."""

    connector: type[Connector[Any]]
    config: Mapping[str, Any]
    fields: Mapping[str, FieldValue]

    def make_vendor(self) -> Vendor: ...


class SleptThrough:
    """A clock that only sleeping moves on."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def read(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += max(0.0, seconds)
        await asyncio.sleep(0)


class Story:
    """`ann`, `bob` and whoever else is named become people with the identifier that the connector goes by."""

    def __init__(self, hub: Hub, clock: TestClock, time: SleptThrough, folder: Path) -> None:
        self.hub = hub
        self.clock = clock
        self.time = time
        self.stage: Stage
        self.destination: Destination
        self.sync: Sync
        self.subscriptions: Mapping[str, str]
        self._folder = folder
        self._audience: Audience | None = None

    @property
    def vendor(self) -> Vendor:
        return self.stage.vendor

    @property
    def wire(self) -> Wire:
        return self.stage.wire

    def key(self, name: str) -> str:
        """What the vendor knows them by."""
        return self.stage.person(name).key

    def keys(self, *names: str) -> set[str]:
        return {self.key(name) for name in names}

    async def members(self) -> set[str]:
        if self._audience is None:
            self._audience = await self.stage.connector.ensure_audience(AUDIENCE)
        return self.vendor.members(self._audience)

    async def admit(self, *names: str, agreeing: bool = True) -> None:
        """New people of the segment, whom the vendor has known for long."""
        for name in names:
            self.key(name)
        await self.change(*({"name": name, "belongs": "yes", **self._traits(self.stage.fields)} for name in names))
        for name in names if agreeing else ():
            await self.decide(name, ConsentAction.GRANT)

    async def change(self, *people: Mapping[str, Any]) -> None:
        """Import what is told of these people, each with their `name`; what is not told stays."""
        rows = [{**self._identified(person["name"]), **person} for person in people]
        file = self._folder / "people.ndjson"
        file.write_text("".join(json.dumps({**row, "name": None}) + "\n" for row in rows))
        report = await intake.import_file(self.hub, "profiles", file)
        assert report.accepted == len(rows) and not report.rejected, report

    async def map(self, name: str, fields: Mapping[str, FieldValue]) -> None:
        """Someone's mapped fields, by the vendor's names, are these now."""
        await self.change({"name": name, **self._traits(fields)})

    async def decide(self, name: str, action: ConsentAction) -> None:
        self.clock.pass_by(seconds=1)
        who = self._identified(name)["id"]
        said = ConsentInput("news", action, "form", external_id=who, effective_at=self.clock.now())
        await consent.record(self.hub, said)

    async def hear(self, request: Inbound) -> Heard:
        """What the hub makes of a request to the destination's address."""
        self.clock.pass_by(seconds=1)
        listener = Listener(self.hub)
        try:
            connector = await listener.connector(self.destination)
            assert connector, "the connector hears nothing"
            return await listener.hear(self.destination, connector, request)
        finally:
            await listener.close()

    async def send(self) -> Run:
        """A run of the sync, to its end."""
        return await self.ended(await runs.start(self.hub, self.sync.key))

    async def ended(self, run: Run) -> Run:
        async with asyncio.timeout(LONGEST_TEST_S):
            async for seen in runs.progress(self.hub, run.id):
                last = seen
        assert last.status.ended and last.counts.balanced, last
        return last

    async def ended_by(self, cause: RunCause) -> Run:
        """The first run that came about by itself for this cause, once all of them have ended."""

        async def caused() -> list[Run]:
            return [run for run in await self.hub.store.runs.page(20) if run.cause is cause]

        async def queued() -> bool:
            return bool(await caused())

        await until(queued)
        ended = [await self.ended(run) for run in await caused()]
        return min(ended, key=lambda run: run.id)

    async def rest(self) -> None:
        """Time passes while nothing is under way: what was put off comes due."""
        if all(run.status.ended for run in await self.hub.store.runs.page(20)):
            self.clock.pass_by(seconds=1)

    def reasons(self) -> list[str]:
        """Why the vendor took people not, as the log has it."""
        return [why for (why,) in self.hub.engine.rows(
            "SELECT reason FROM outcomes WHERE kind IN ('rejected', 'suppressed')")]  # fmt: skip

    def _identified(self, name: str) -> dict[str, str]:
        able = self.stage.connector.limits()
        kind = able.identifiers[0] if able.identifiers else able.key
        return {"id": self.stage.person(name).id} | ({} if kind == "external_id" else {kind: key_of(kind, name)})

    def _traits(self, fields: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
        return {self.trait_of(field): value for field, value in fields.items()}

    def trait_of(self, field: str) -> str:
        return f"trait_{sorted(self.stage.fields).index(field)}"


@dataclass(frozen=True)
class Beginning:
    """A hub in which `ann` and `bob` are in, at rest, and all that was around it then."""

    hub: Path
    vendor: Vendor
    subscriptions: Mapping[str, str]
    clock: TestClock
    time: SleptThrough


async def begin(of: Told, folder: Path) -> Beginning:
    """What many stories have in common, to be copied for each."""
    async with told(of, folder) as story:
        await _bring_in(story)
    return Beginning(folder / HUB, story.vendor, story.subscriptions, story.clock, story.time)


@asynccontextmanager
async def begun(of: Told, folder: Path, beginning: Beginning | None) -> AsyncIterator[Story]:
    """A hub with a worker at work, some time after `ann` and `bob` went in."""
    async with told(of, folder, beginning) as story:
        if beginning is None:
            await _bring_in(story)
        yield story


async def _bring_in(story: Story) -> None:
    await story.admit("ann", "bob")
    await story.send()


@asynccontextmanager
async def told(of: Told, folder: Path, beginning: Beginning | None = None) -> AsyncIterator[Story]:
    """A hub with a sync to the connector and a worker at work; nobody is known yet but `zoe`, who agrees to nothing,
    and who was in at the beginning."""
    vendor, clock, time = _surroundings(of, folder, beginning)
    async with opened(folder / HUB, clock, connectors=frozenset()) as hub:
        hub.registry = Registry({of.connector.key: of.connector})
        hub.egress = EgressPolicy(vendor.listens, partial(_resolve, vendor))
        story = Story(hub, clock, time, folder)
        with at_the_socket(vendor, hub.settings.data / FILES) as wire_and_vendor:
            await _take_up(story, of, *wire_and_vendor, beginning)
            with capture_logs() as told_to_nobody:
                async with _working(story):
                    yield story
            stumbles = [entry for entry in told_to_nobody if "stumbled" in entry["event"]]
            assert not stumbles, f"the hub itself is at fault: {stumbles}"
            after = {key: story.vendor.subscriptions.get(key, state) for key, state in story.subscriptions.items()}
            assert after == story.subscriptions, "somebody's subscription at the vendor has changed"


def _surroundings(of: Told, folder: Path, beginning: Beginning | None) -> tuple[Vendor, TestClock, SleptThrough]:
    if beginning is None:
        return of.make_vendor(), TestClock(), SleptThrough()
    shutil.copytree(beginning.hub, folder / HUB)
    return deepcopy((beginning.vendor, beginning.clock, beginning.time))


@contextmanager
def at_the_socket(vendor: Vendor, files: Path) -> Iterator[tuple[Wire, Vendor]]:
    wire = Wire(vendor if isinstance(vendor, HttpVendor) else None)
    vendor.folder = files
    with respx.mock(assert_all_called=False) as mock:
        mock.route().mock(side_effect=wire.answer)
        yield wire, vendor


async def _take_up(story: Story, of: Told, wire: Wire, vendor: Vendor, beginning: Beginning | None) -> None:
    hub = story.hub
    if beginning is None:
        await destinations.create(hub, "vendor", "Vendor", of.connector.key, dict(of.config))
    story.destination = await hub.store.destinations.need("vendor")
    story.stage = Stage(await Vendors(hub).connect(story.destination), vendor, wire, of.fields)
    if beginning is None:
        await _set_up(story)
    story.sync = await hub.store.syncs.need("to-vendor")
    story.subscriptions = beginning.subscriptions if beginning else dict(vendor.subscriptions)


async def _set_up(story: Story) -> None:
    hub = story.hub
    await purposes.create(hub, "news", "News")
    await story.admit("zoe", agreeing=False)
    await segments.create(hub, "belonging", "Belonging", 'belongs = "yes"')
    fields = {field: story.trait_of(field) for field in story.stage.fields}
    await syncs.create(
        hub, "to-vendor", "belonging", "vendor", AUDIENCE, ["news"], fields=fields, max_removal_share=1.0
    )


@asynccontextmanager
async def _working(story: Story) -> AsyncIterator[None]:
    limiter = partial(Limiter, story.time.read, story.time.sleep)
    worker = Worker(story.hub, PATIENT, limiter=limiter, sleep=story.time.sleep)
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.stop()
        await task


async def _resolve(vendor: Vendor, host: str, port: int) -> list[str]:
    """A vendor that is really reached listens at an address that is written out."""
    return [host] if f"{host}:{port}" in vendor.listens else ["93.184.215.14"]

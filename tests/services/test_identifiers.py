"""A vendor that takes every identifier of a person, hashed, with consent signals: from the import to what it hears."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox import Sandbox, forget
from hub.core.consent_form import ConsentInput
from hub.core.records import ConsentAction, RunCause, RunStatus
from hub.errors import ErrorCode, HubError
from hub.plugins import Registry
from hub.sdk.contract import Audience, Batch, Capabilities, Person, Result
from hub.services import consent, destinations, intake, purposes, runs, segments, syncs
from hub.services.hub import Hub
from tests.services.opened import TestClock, opened
from tests.services.shop import until, working


class Ads(Sandbox):
    key = "ads"
    capabilities = Capabilities(
        identifiers=("email", "phone"),
        spellings={"email": "google.email", "phone": "meta.phone", "FN": "meta.first_name"},
        signals=("adPersonalization", "adUserData"),
    )
    heard: list[Batch] = []  # noqa: RUF012 - one vendor a test

    def limits(self) -> Capabilities:
        return self.capabilities

    async def apply(self, audience: Audience, batch: Batch) -> Result:
        self.heard.append(batch)
        return await super().apply(audience, batch)


class Town:
    def __init__(self, hub: Hub, folder: Path, clock: TestClock) -> None:
        self.hub, self.folder, self.clock = hub, folder, clock

    async def know(self, **person: Any) -> None:
        file = self.folder / "people.ndjson"
        file.write_text(json.dumps(person))
        report = await intake.import_file(self.hub, "profiles", file)
        assert not report.rejected, report

    async def decide(self, who: str, purpose: str, action: ConsentAction = ConsentAction.GRANT) -> None:
        self.clock.pass_by(seconds=1)
        said = ConsentInput(purpose, action, "form", external_id=who, effective_at=self.clock.now())
        await consent.record(self.hub, said)

    async def send(self) -> Any:
        return await self.ended((await runs.start(self.hub, "all-to-ads")).id)

    async def ended(self, run: int) -> Any:
        async for seen in runs.progress(self.hub, run):
            last = seen
        return last


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    Ads.heard.clear()
    clock = TestClock()
    async with opened(tmp_path / "hub", clock, connectors=frozenset()) as hub:
        hub.registry = Registry({"ads": Ads})
        for purpose in ("ads", "personal"):
            await purposes.create(hub, purpose, purpose)
        await segments.create(hub, "all", "Everyone", "everyone")
        await destinations.create(hub, "ads", "Ads", "ads", {"account": f"ads-{id(clock)}"})
        await Town(hub, tmp_path, clock).know(id="p0", email="zoe@example.com", first_name="Zoe")
        await syncs.create(
            hub, "all-to-ads", "all", "ads", "vip", ["ads"], fields={"FN": "first_name"}, max_removal_share=1.0,
            signals={"adPersonalization": "personal"},
        )  # fmt: skip
        async with working(hub):
            yield Town(hub, tmp_path, clock)
    forget(f"ads-{id(clock)}")


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def added() -> dict[str, Person]:
    return {person.key: person for batch in Ads.heard for person in batch.add}


def removed() -> set[str]:
    return {person.key for batch in Ads.heard for person in batch.remove}


ANN = f"email:{hashed('ann@gmail.com')}"
ANNS_OLD = f"email:{hashed('ann@example.com')}"
ANNS_PHONE = f"phone:{hashed('4915112345678')}"


async def test_every_identifier_goes_hashed_as_the_vendor_wants_it_and_so_do_fields(town: Town) -> None:
    await town.know(id="ann", email="Ann@example.com", first_name="Ann-Marie")
    await town.know(id="ann", email="a.n.n@Gmail.com", phone="+49 151 12345678")
    await town.decide("ann", "ads")
    run = await town.send()
    assert (run.status, run.counts.members, run.counts.added) == (RunStatus.SUCCEEDED, 4, 3)
    assert set(added()) == {ANN, ANNS_OLD, ANNS_PHONE}
    assert {person.fields["FN"] for person in added().values()} == {hashed("annmarie")}
    assert {person.kind for person in added().values()} == {"email", "phone"}
    assert (await town.send()).counts.unchanged == 3


async def test_an_identifier_that_is_cleared_is_removed_and_the_others_stay(town: Town) -> None:
    await town.know(id="ann", email="ann@gmail.com", phone="+4915112345678")
    await town.decide("ann", "ads")
    await town.send()
    await town.know(id="ann", phone=None)
    run = await town.send()
    assert (run.counts.removed, run.counts.unchanged, removed()) == (1, 1, {ANNS_PHONE})


async def test_a_withdrawal_takes_every_identifier_out(town: Town) -> None:
    await town.know(id="ann", email="ann@gmail.com", phone="+4915112345678")
    await town.decide("ann", "ads")
    await town.send()
    await town.decide("ann", "ads", ConsentAction.WITHDRAW)

    async def gone() -> bool:
        return any(run.cause is RunCause.WITHDRAWAL and run.status.ended for run in await town.hub.store.runs.page(9))

    await until(gone)
    assert removed() == {ANN, ANNS_PHONE}


async def test_two_spellings_of_one_mailbox_are_one_key_and_either_holder_may_forbid_it(town: Town) -> None:
    await town.know(id="ann", email="a.nn@gmail.com")
    await town.know(id="bob", email="ann@gmail.com")
    await town.decide("ann", "ads")
    await town.decide("bob", "ads", ConsentAction.DENY)
    assert (await town.send()).counts.added == 0
    await town.decide("bob", "ads")
    assert (await town.send()).counts.added == 1 and set(added()) == {ANN}


async def test_two_spellings_of_one_persons_own_mailbox_are_sent_once(town: Town) -> None:
    await town.know(id="ann", email="a.nn@gmail.com")
    await town.know(id="ann", email="ann@gmail.com")
    await town.decide("ann", "ads")
    run = await town.send()
    assert (run.counts.added, run.counts.withheld) == (1, 1)
    assert [person.key for batch in Ads.heard for person in batch.add] == [ANN]


async def test_signals_say_what_the_person_agreed_to_and_a_change_is_told(town: Town) -> None:
    await town.know(id="ann", email="ann@gmail.com")
    await town.decide("ann", "ads")
    await town.send()
    assert added()[ANN].signals == {"adPersonalization": False, "adUserData": True}
    await town.decide("ann", "personal")
    run = await town.send()
    assert run.counts.updated == 1 and added()[ANN].signals == {"adPersonalization": True, "adUserData": True}
    await town.decide("ann", "personal", ConsentAction.WITHDRAW)
    run = await town.send()
    assert (run.counts.updated, run.counts.removed) == (1, 0)
    assert added()[ANN].signals == {"adPersonalization": False, "adUserData": True}


async def test_a_continuous_sync_tells_of_a_changed_signal_by_itself(town: Town) -> None:
    await town.know(id="ann", email="ann@gmail.com")
    await town.decide("ann", "ads")
    await syncs.update(town.hub, "all-to-ads", schedule="continuous")
    await until(lambda: ANN in added())
    await town.decide("ann", "personal")
    await until(lambda: added()[ANN].signals["adPersonalization"])


async def test_a_signal_that_the_vendor_lacks_and_a_purpose_that_nobody_made_are_refused(town: Town) -> None:
    with pytest.raises(HubError) as refusal:
        await syncs.update(town.hub, "all-to-ads", signals={"adUserDate": "ads", "adUserData": "personall"})
    assert [(problem.code, problem.path, problem.suggestion) for problem in refusal.value.problems] == [
        (ErrorCode.INVALID, ("input", "signals", "adUserDate"), "adUserData"),
        (ErrorCode.NOT_FOUND, ("input", "signals", "adUserData"), "personal"),
    ]

"""What vendors tell of becomes withdrawals: for the right purposes, once, and never anything but a no."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.webhook import Webhook
from hub.core.consent_form import ConsentInput
from hub.core.records import ConsentAction, ConsentEntry, ConsentState, Destination
from hub.errors import HubError
from hub.plugins import Registry
from hub.sdk import Feedback, Inbound, Notice, TransientError
from hub.sdk.webhooks import signed
from hub.services import consent, destinations, purposes, segments, syncs
from hub.services.feedback import Away, Heard, Listener, Unverified
from hub.services.hub import Hub
from tests.services.opened import TestClock, add_person, opened

SECRET = f"whsec_{base64.b64encode(b'0123456789abcdef0123456789abcdef').decode()}"
THEIRS = f"whsec_{base64.b64encode(b'fedcba9876543210fedcba9876543210').decode()}"
CONFIG = {"url": "https://93.184.216.34/x", "secret": SECRET, "feedback_secret": THEIRS}


class Says(Webhook):
    """Its vendor tells whatever the test has it tell."""

    key = "says"
    told: Sequence[Feedback] = ()
    asking: Exception | None = None

    def feedback(self, request: Inbound) -> Sequence[Feedback]:
        return self.told

    async def recognised(self, heard: Sequence[Feedback]) -> Sequence[Feedback]:
        if self.asking:
            raise self.asking
        return heard


@pytest.fixture
async def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    monkeypatch.setattr(Says, "told", ())
    monkeypatch.setattr(Says, "asking", None)
    async with opened(tmp_path, TestClock()) as hub:
        hub.registry = Registry({**hub.registry.connectors, "webhook": Webhook, "says": Says}, {})
        for key in ("news", "offers", "ads"):
            await purposes.create(hub, key, key)
        yield hub


@pytest.fixture
async def listener(hub: Hub) -> AsyncIterator[Listener]:
    listener = Listener(hub)
    yield listener
    await listener.close()


async def told(hub: Hub, listener: Listener, *notices: Feedback, to: Destination | None = None) -> Heard:
    """The notices as heard from the vendor of this destination."""
    Says.told = notices
    to = to or await hub.store.destinations.get("shop") or await a_shop(hub)
    connector = await listener.connector(to)
    assert connector
    return await listener.hear(to, connector, Inbound("POST"))


async def a_shop(hub: Hub, key: str = "shop", **more: Any) -> Destination:
    return await destinations.create(hub, key, key, "says", CONFIG, **more)


async def a_sync(hub: Hub, key: str, *of: str) -> None:
    if await hub.store.segments.get("all") is None:
        await segments.create(hub, "all", "Everyone", "everyone")
    await syncs.create(hub, key, "all", "shop", key, of)


def unsubscribed(hub: Hub, value: str = "ann@example.com", **more: Any) -> Feedback:
    about: dict[str, Any] = {"kind": "email", "event": "e1", "at": hub.clock.now() - timedelta(minutes=1), **more}
    return Feedback(Notice.UNSUBSCRIBED, value=value, **about)


async def entries(hub: Hub) -> list[ConsentEntry]:
    return await hub.store.ledger.whole(0)


async def stands(hub: Hub, external_id: str = "p1") -> dict[str, ConsentState]:
    return {one.purpose: one.state for one in await consent.standing(hub, external_id)}


async def test_an_unsubscribe_withdraws_the_purposes_of_the_destinations_syncs(hub: Hub, listener: Listener) -> None:
    add_person(hub, 1, "p1", email="ann@example.com")
    await a_shop(hub)
    await a_sync(hub, "one", "news")
    await a_sync(hub, "two", "news", "offers")
    assert await told(hub, listener, unsubscribed(hub, " Ann@Example.com")) == Heard(1)
    assert await stands(hub) == {
        "ads": ConsentState.UNKNOWN,
        "news": ConsentState.WITHDRAWN,
        "offers": ConsentState.WITHDRAWN,
    }
    entry = (await entries(hub))[0]
    assert (entry.action, entry.source) == (ConsentAction.WITHDRAW, "says:unsubscribed")
    assert entry.effective_at == hub.clock.now() - timedelta(minutes=1)
    assert entry.recorded_at == hub.clock.now()
    assert hub.signals.consent_changed.is_set()


async def test_the_notices_purpose_goes_before_the_destinations_and_that_before_the_syncs(
    hub: Hub, listener: Listener
) -> None:
    await a_shop(hub, feedback_purposes=["offers"])
    await a_sync(hub, "one", "news")
    await told(hub, listener, unsubscribed(hub, purpose="ads"))
    await told(hub, listener, unsubscribed(hub, event="e2"))
    assert [entry.purpose for entry in await entries(hub)] == ["ads", "offers"]


async def test_where_nothing_says_what_it_is_about_it_is_about_everything(hub: Hub, listener: Listener) -> None:
    await told(hub, listener, unsubscribed(hub))
    assert sorted(entry.purpose for entry in await entries(hub)) == ["ads", "news", "offers"]


@pytest.mark.parametrize("notice", Notice)
async def test_whatever_the_vendor_tells_only_ever_withdraws(hub: Hub, listener: Listener, notice: Notice) -> None:
    await told(hub, listener, Feedback(notice, "email", "ann@example.com", "e1", hub.clock.now()))
    found = await entries(hub)
    assert {entry.action for entry in found} == {ConsentAction.WITHDRAW}
    assert {entry.source for entry in found} == {f"says:{notice.value}"}


async def test_the_same_event_told_again_changes_nothing_also_with_another_time(hub: Hub, listener: Listener) -> None:
    soon = unsubscribed(hub, at=hub.clock.now() + timedelta(minutes=3))
    await told(hub, listener, soon, soon)
    head = await hub.store.ledger.head()
    hub.clock.pass_by(minutes=10)
    assert await told(hub, listener, soon) == Heard(1)
    assert await told(hub, listener, unsubscribed(hub)) == Heard(1)
    assert await hub.store.ledger.head() == head == 3


async def test_without_an_event_the_same_notice_at_the_same_time_is_the_same(hub: Hub, listener: Listener) -> None:
    before = unsubscribed(hub, event="")
    for _ in range(2):
        await told(hub, listener, before)
        hub.clock.pass_by(minutes=1)
    assert await hub.store.ledger.head() == 3


async def test_without_an_event_and_a_time_each_counts_since_a_grant_may_lie_between(
    hub: Hub, listener: Listener
) -> None:
    add_person(hub, 1, "p1", email="ann@example.com")
    bare = unsubscribed(hub, event="", at=None)
    await told(hub, listener, bare)
    hub.clock.pass_by(minutes=1)
    await grant(hub)
    hub.clock.pass_by(minutes=1)
    await told(hub, listener, bare)
    assert (await stands(hub))["news"] is ConsentState.WITHDRAWN


async def grant(hub: Hub) -> None:
    said = ConsentInput("news", ConsentAction.GRANT, "form", external_id="p1", effective_at=hub.clock.now())
    await consent.record(hub, said)


async def test_a_grant_said_after_the_event_stands_and_a_replay_does_not_undo_it(hub: Hub, listener: Listener) -> None:
    add_person(hub, 1, "p1", email="ann@example.com", linked_at=hub.clock.now() - timedelta(days=9))
    notice = unsubscribed(hub)
    await told(hub, listener, notice)
    assert (await stands(hub))["news"] is ConsentState.WITHDRAWN
    await grant(hub)
    await told(hub, listener, notice)
    assert (await stands(hub))["news"] is ConsentState.GRANTED


async def test_an_event_that_is_told_late_does_not_undo_a_grant_said_after_it(hub: Hub, listener: Listener) -> None:
    add_person(hub, 1, "p1", email="ann@example.com", linked_at=hub.clock.now() - timedelta(days=9))
    await grant(hub)
    await told(hub, listener, unsubscribed(hub))
    assert (await stands(hub))["news"] is ConsentState.GRANTED


@pytest.mark.parametrize(
    "at",
    [
        datetime(2099, 1, 1, tzinfo=UTC),
        datetime(2026, 5, 1, 12, 3, tzinfo=UTC),
        datetime(2026, 5, 1, 11, 0),
        None,
    ],
    ids=["years ahead", "minutes ahead", "no zone", "none"],
)
async def test_a_time_that_cannot_be_is_now(hub: Hub, listener: Listener, at: datetime | None) -> None:
    await told(hub, listener, unsubscribed(hub, at=at))
    assert {entry.effective_at for entry in await entries(hub)} == {hub.clock.now()}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("email", "no address"),
        ("email", ""),
        ("email", "\ud800@example.com"),
        ("phone", "0171"),
        ("native", "77"),
        ("id", "\x00"),
    ],
)
async def test_whoever_cannot_be_told_is_counted_and_the_others_are_heard(
    hub: Hub, listener: Listener, kind: str, value: str
) -> None:
    assert await told(hub, listener, unsubscribed(hub, value, kind=kind), unsubscribed(hub)) == Heard(1, 1)
    assert await hub.store.ledger.head() == 3


async def test_people_are_found_by_the_hubs_own_id_too(hub: Hub, listener: Listener) -> None:
    add_person(hub, 1, "p1")
    await told(hub, listener, unsubscribed(hub, "p1", kind="external_id"))
    assert (await stands(hub))["news"] is ConsentState.WITHDRAWN


async def test_a_withdrawal_by_an_address_that_nobody_has_counts_for_whoever_gets_it(
    hub: Hub, listener: Listener
) -> None:
    await told(hub, listener, unsubscribed(hub))
    hub.clock.pass_by(days=1)
    add_person(hub, 1, "p1", email="ann@example.com")
    assert (await stands(hub))["news"] is ConsentState.WITHDRAWN


async def test_what_is_kept_shows_nobody(hub: Hub, listener: Listener) -> None:
    await told(hub, listener, unsubscribed(hub, event="ann@example.com at noon"))
    for entry in await entries(hub):
        assert entry.evidence == {"destination": "shop", "notice": "unsubscribed"}
        assert "ann" not in f"{entry.entry_id} {entry.source}"


async def test_the_same_event_at_two_destinations_is_two(hub: Hub, listener: Listener) -> None:
    first, other = await a_shop(hub), await a_shop(hub, "other")
    for shop in (first, other):
        await told(hub, listener, unsubscribed(hub), to=shop)
    assert await hub.store.ledger.head() == 6


async def test_a_vendor_that_cannot_be_asked_who_somebody_is_tells_us_again(hub: Hub, listener: Listener) -> None:
    Says.asking = TransientError("busy")
    with pytest.raises(Away):
        await told(hub, listener, unsubscribed(hub, "77", kind="native"))
    assert await hub.store.ledger.head() == 0


async def test_a_connector_that_is_gone_tells_us_again(hub: Hub, listener: Listener) -> None:
    shop = await a_shop(hub)
    hub.registry = Registry({}, {"says": "ImportError"})
    with pytest.raises(Away):
        await listener.connector(shop)


# The webhook's own form.


async def heard_from_receiver(hub: Hub, listener: Listener, body: Any, secret: str = THEIRS) -> Heard:
    shop = await hub.store.destinations.get("own") or await destinations.create(hub, "own", "Own", "webhook", CONFIG)
    connector = await listener.connector(shop)
    assert connector
    raw = json.dumps(body).encode()
    return await listener.hear(shop, connector, Inbound("POST", headers=signed(secret, "msg-1", raw), body=raw))


async def test_a_receiver_of_ones_own_names_a_person_in_every_way_it_knows(hub: Hub, listener: Listener) -> None:
    body = {"type": "complained", "id": "p1", "email": "ann@example.com", "purpose": "news"}
    assert await heard_from_receiver(hub, listener, body) == Heard(2)
    found = await entries(hub)
    assert len({entry.subject for entry in found}) == 2
    assert {(entry.purpose, entry.source) for entry in found} == {("news", "webhook:complained")}


async def test_a_forged_request_leaves_the_ledger_empty(hub: Hub, listener: Listener) -> None:
    with pytest.raises(Unverified):
        await heard_from_receiver(hub, listener, {"type": "unsubscribed", "id": "p1"}, SECRET)
    assert await hub.store.ledger.head() == 0


async def test_without_a_secret_of_its_own_a_receiver_is_not_listened_to(hub: Hub, listener: Listener) -> None:
    config = {name: value for name, value in CONFIG.items() if name != "feedback_secret"}
    shop = await destinations.create(hub, "deaf", "Deaf", "webhook", config)
    assert await listener.connector(shop) is None


# What a destination's unsubscribes are about.


async def test_purposes_that_do_not_exist_or_would_never_be_told_of_are_refused(hub: Hub) -> None:
    with pytest.raises(HubError) as unknown:
        await a_shop(hub, feedback_purposes=["news", "ofers"])
    [problem] = unknown.value.problems
    assert (problem.path, problem.suggestion) == (("input", "feedbackPurposes", "1"), "offers")
    with pytest.raises(HubError, match="tells the hub nothing"):
        await destinations.create(hub, "s", "S", "sandbox", {}, feedback_purposes=["news"])


async def test_purposes_are_kept_until_they_are_changed(hub: Hub) -> None:
    await a_shop(hub, feedback_purposes=["news"])
    assert (await destinations.update(hub, "shop", name="Shop")).feedback_purposes == ("news",)
    assert (await destinations.update(hub, "shop", feedback_purposes=[])).feedback_purposes == ()

"""Alert channels as an admin makes, changes, tries and deletes them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hub.core.alerts.channel import AlertChannelKind
from hub.errors import HubError
from hub.sdk.egress import EgressPolicy
from hub.services import alert_channels
from hub.services.hub import Hub
from tests.services.opened import TestClock, opened
from tests.services.receivers import SECRET, webhook_listening

WEBHOOK = {"url": "https://93.184.216.34/alerts", "secret": SECRET}
MAIL = {"smtp_url": "smtps://mail.example", "smtp_from": "hub@example.com"}


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with opened(tmp_path, TestClock()) as opened_hub:
        yield opened_hub


def with_mail(hub: Hub) -> None:
    hub.settings = type(hub.settings)(**{**hub.settings.model_dump(), **MAIL})


async def refused(awaited: Any) -> list[tuple[str, tuple[str, ...]]]:
    with pytest.raises(HubError) as caught:
        await awaited
    assert SECRET not in str(caught.value)
    return [(problem.code.value, problem.path) for problem in caught.value.problems]


UNFIT: list[tuple[dict[str, Any], str, tuple[str, ...]]] = [
    ({"key": "a b", "webhook": WEBHOOK}, "INVALID", ("input", "key")),
    ({"name": " ", "webhook": WEBHOOK}, "INVALID", ("input", "name")),
    ({}, "INVALID", ("input", "webhook")),
    ({"webhook": WEBHOOK, "email": {"to": ["a@example.com"]}}, "INVALID", ("input", "webhook")),
    ({"webhook": {"url": WEBHOOK["url"]}}, "INVALID", ("input", "webhook", "secret")),
    ({"webhook": {"secret": SECRET}}, "INVALID", ("input", "webhook", "url")),
    ({"webhook": {**WEBHOOK, "secret": "whsec_c2hvcnQ="}}, "INVALID", ("input", "webhook", "secret")),
    ({"webhook": {**WEBHOOK, "url": "https://127.0.0.1/x"}}, "EGRESS_DENIED", ("input", "webhook", "url")),
    ({"webhook": {**WEBHOOK, "url": "http://93.184.216.34/x"}}, "EGRESS_DENIED", ("input", "webhook", "url")),
    ({"email": {"to": []}}, "INVALID", ("input", "email", "to")),
    ({"email": {"to": ["a@example.com"] * 21}}, "INVALID", ("input", "email", "to")),
    ({"email": {"to": ["a@example.com", "nobody"]}}, "INVALID", ("input", "email", "to", "1")),
    ({"email": {"to": ["a@example.com\nBcc: b@example.com"]}}, "INVALID", ("input", "email", "to", "0")),
]


@pytest.mark.parametrize(("given", "code", "path"), UNFIT)
async def test_a_channel_that_cannot_be_says_where(
    hub: Hub, given: dict[str, Any], code: str, path: tuple[str, ...]
) -> None:
    with_mail(hub)
    assert await refused(alert_channels.create(hub, **{"key": "ops", "name": "Ops", **given})) == [(code, path)]
    assert await hub.store.alert_channels.count() == 0


async def test_without_a_mail_server_there_is_no_e_mail_channel(hub: Hub) -> None:
    made = alert_channels.create(hub, "ops", "Ops", email={"to": ["a@example.com"]})
    assert await refused(made) == [("UNSUPPORTED", ("input", "email"))]


async def test_a_channel_is_changed_and_a_secret_left_out_stays(hub: Hub) -> None:
    made = await alert_channels.create(hub, "ops", " Ops ", webhook=WEBHOOK)
    assert (made.name, made.kind, made.url) == ("Ops", AlertChannelKind.WEBHOOK, WEBHOOK["url"])
    url = "https://93.184.216.34/other"
    changed = await alert_channels.update(hub, "ops", name="On call", webhook={"url": url})
    assert (changed.name, changed.url, changed.version) == ("On call", url, 2)
    assert await hub.store.alert_channels.secret(made.id) == SECRET
    private = alert_channels.update(hub, "ops", webhook={"url": "https://10.0.0.1/"})
    assert await refused(private) == [("EGRESS_DENIED", ("input", "webhook", "url"))]
    assert await refused(alert_channels.update(hub, "ops", email={"to": ["a@example.com"]})) == [
        ("UNSUPPORTED", ("input", "email"))
    ]
    assert await refused(alert_channels.update(hub, "ops", name="X", if_version=1)) == [
        ("CONFLICT", ("input", "ifVersion"))
    ]


async def test_a_key_is_taken_once_and_free_again_after_a_deletion(hub: Hub) -> None:
    await alert_channels.create(hub, "ops", "Ops", webhook=WEBHOOK)
    assert await refused(alert_channels.create(hub, "ops", "Ops", webhook=WEBHOOK)) == [("CONFLICT", ("input", "key"))]
    await alert_channels.delete(hub, "ops")
    assert await refused(alert_channels.delete(hub, "ops")) == [("NOT_FOUND", ("key",))]
    await alert_channels.create(hub, "ops", "Ops", webhook=WEBHOOK)


async def test_a_test_says_what_came_of_it(hub: Hub) -> None:
    with webhook_listening() as receiver:
        hub.egress = EgressPolicy(frozenset({f"127.0.0.1:{receiver.port}"}))
        await alert_channels.create(hub, "ops", "Ops", webhook={"url": receiver.url, "secret": SECRET})
        tried = await alert_channels.test(hub, "ops")
        assert (tried.delivered_at, tried.failure) == (hub.clock.now(), None)
        [told] = receiver.told
        assert (told["type"], told["id"], receiver.forged) == ("test", receiver.ids[0], 0) and "sync" not in told
        receiver.answers.extend([500, 403, 302])
        for code in ("DESTINATION_UNREACHABLE", "DESTINATION_AUTH", "DESTINATION_AUTH"):
            assert await refused(alert_channels.test(hub, "ops")) == [(code, ("key",))]
        hub.egress = EgressPolicy()
        assert await refused(alert_channels.test(hub, "ops")) == [("EGRESS_DENIED", ("key",))]
    assert await refused(alert_channels.test(hub, "oops")) == [("NOT_FOUND", ("key",))]
    assert await hub.store.alert_notices.due(hub.clock.now()) == []

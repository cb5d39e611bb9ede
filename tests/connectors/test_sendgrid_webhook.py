"""What SendGrid tells by its signed event webhook."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from connectors.sendgrid.signatures import insist_signed_by
from hub.sdk import Feedback, Inbound, Notice, Unverified
from tests.connectors.fake_sendgrid import told
from tests.connectors.test_sendgrid import sendgrid

ANN = "ann@example.com"
AT = datetime(2026, 11, 22, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("event", "notice"),
    [
        ({"event": "unsubscribe"}, Notice.UNSUBSCRIBED),
        ({"event": "group_unsubscribe", "asm_group_id": 7}, Notice.UNSUBSCRIBED),
        ({"event": "spamreport"}, Notice.COMPLAINED),
        ({"event": "bounce", "type": "bounce"}, Notice.BOUNCED),
        ({"event": "bounce"}, Notice.BOUNCED),
        ({"event": "bounce", "type": "blocked"}, None),
        ({"event": "dropped", "reason": "Bounced Address"}, Notice.BOUNCED),
        ({"event": "dropped", "reason": "Invalid"}, Notice.BOUNCED),
        ({"event": "dropped", "reason": "Unsubscribed Address"}, Notice.UNSUBSCRIBED),
        ({"event": "dropped", "reason": "Spam Reporting Address"}, Notice.COMPLAINED),
        ({"event": "dropped", "reason": "Spam Content"}, None),
        ({"event": "dropped"}, None),
        ({"event": "group_resubscribe", "asm_group_id": 7}, None),
        ({"event": "delivered"}, None),
        ({"event": "deferred"}, None),
        ({"event": "open"}, None),
    ],
)
async def test_only_what_takes_a_permission_away_is_heard(event: dict[str, Any], notice: Notice | None) -> None:
    async with sendgrid() as (stage, vendor, _):
        heard = stage.connector.feedback(vendor.telling(orjson.dumps([told(ANN, **event)])))
        assert heard == ([Feedback(notice, "email", ANN, "evt-1", AT)] if notice else [])


async def test_only_the_groups_that_are_named_count() -> None:
    events = [told(f"{n}@example.com", event="group_unsubscribe", asm_group_id=n) for n in (7, 8)]
    events += [told("none@example.com", event="group_unsubscribe"), told(ANN, event="unsubscribe", asm_group_id=8)]
    async with sendgrid(unsubscribe_groups=[7]) as (stage, vendor, _):
        heard = stage.connector.feedback(vendor.telling(orjson.dumps(events)))
        assert [one.value for one in heard] == ["7@example.com", ANN]


async def test_one_event_that_makes_no_sense_does_not_hide_the_others() -> None:
    events = [7, None, told("", event="spamreport"), told(ANN, event="spamreport", timestamp="soon"), [],
              told(ANN, event="spamreport")]  # fmt: skip
    async with sendgrid() as (stage, vendor, _):
        assert [one.value for one in stage.connector.feedback(vendor.telling(orjson.dumps(events)))] == [ANN]


async def test_whatever_is_not_signed_as_it_should_be_is_not_believed() -> None:
    signature, moment = (f"x-twilio-email-event-webhook-{name}" for name in ("signature", "timestamp"))
    async with sendgrid() as (stage, vendor, _):
        request = vendor.tells(Notice.UNSUBSCRIBED, ANN)
        later = str(int(request.headers[moment]) + 1)
        for changed in ({moment: later}, {moment: "now"}, {moment: "9" * 40}, {moment: ""}, {signature: ""},
                        {signature: "AAAA"}, {signature: "not base64!"}):  # fmt: skip
            with pytest.raises(Unverified):
                stage.connector.feedback(replace(request, headers={**request.headers, **changed}))
    async with sendgrid(verification_key=None) as (stage, vendor, _):
        with pytest.raises(Unverified, match="no verification key"):
            stage.connector.feedback(vendor.tells(Notice.UNSUBSCRIBED, ANN))


async def test_a_repeat_with_its_old_signature_is_believed_where_that_is_configured() -> None:
    for oldest, believed in ((300, False), (86_400, True)):
        async with sendgrid(oldest_signature_s=oldest) as (stage, vendor, _):
            request = vendor.tells(Notice.UNSUBSCRIBED, ANN)
            late = replace(request, received_at=request.received_at + timedelta(hours=20))
            if believed:
                assert len(stage.connector.feedback(late)) == 1
                continue
            with pytest.raises(Unverified):
                stage.connector.feedback(late)


def test_the_signature_that_the_vendors_own_libraries_are_tested_with_is_believed() -> None:
    key = (
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEDr2LjtURuePQzplybdC+u4CwrqD"
        "qBaWjcMMsTbhdbcwHBcepxo7yAQGhHPTnlvFYPAZFceEu/1FwCM/QmGUhA=="
    )
    signature = (
        "MEUCIQCtIHJeH93Y+qpYeWrySphQgpNGNr/U+UyUlBkU6n7RAwIgJTz2C+8a8xon"
        "ZGi6BpSzoQsbVRamr2nlxFDWYNH2j/0="
    )  # fmt: skip
    headers = {
        "x-twilio-email-event-webhook-signature": signature,
        "x-twilio-email-event-webhook-timestamp": "1588788367",
    }
    body = b'{"category":"example_payload","event":"test_event","message_id":"message_id"}'
    then = datetime.fromtimestamp(1588788367, UTC)
    insist_signed_by(key, Inbound("POST", headers=headers, body=body, received_at=then), timedelta(minutes=5))

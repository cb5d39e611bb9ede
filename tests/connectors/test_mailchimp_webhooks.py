"""What Mailchimp tells by its webhooks, and how it tries their address when one is saved."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hub.sdk import Feedback, Inbound, Notice, Unverified
from tests.connectors.fake_mailchimp import SECRET, told
from tests.connectors.test_mailchimp import mailchimp

UNSUBSCRIBED = {"type": "unsubscribe", "data[action]": "unsub", "data[email]": "ann@example.com"}


async def test_the_address_is_tried_by_get_and_by_an_empty_form_when_it_is_saved() -> None:
    async with mailchimp() as (stage, _, _audience):
        for method in ("GET", "POST"):
            assert stage.connector.feedback(Inbound(method, SECRET)) == []
            with pytest.raises(Unverified):
                stage.connector.feedback(Inbound(method, "another-secret-of-theirs"))


async def test_an_unsubscribe_says_who_and_which_event_it_was_but_not_when() -> None:
    async with mailchimp() as (stage, _, _audience):
        event = "unsubscribe 8a25ff1d98 2026-11-22 09:30:00"
        heard = stage.connector.feedback(told(**UNSUBSCRIBED))
        assert heard == [Feedback(Notice.UNSUBSCRIBED, "email", "ann@example.com", event)]


@pytest.mark.parametrize(
    ("form", "notice"),
    [
        ({"data[reason]": "abuse"}, Notice.COMPLAINED),
        ({"data[reason]": "abuse", "data[action]": "delete"}, Notice.COMPLAINED),
        ({"type": "cleaned", "data[action]": "", "data[reason]": "hard"}, Notice.BOUNCED),
        ({"type": "cleaned", "data[action]": "", "data[reason]": "abuse"}, Notice.COMPLAINED),
        ({"data[list_id]": ""}, Notice.UNSUBSCRIBED),
        ({"data[list_id]": "another"}, None),
        ({"data[action]": "delete"}, None),
        ({"data[action]": "archive"}, None),
        ({"data[email]": ""}, None),
        ({"type": "subscribe"}, None),
        ({"type": "profile"}, None),
        ({"type": "upemail", "data[old_email]": "old@example.com"}, None),
        ({"type": "campaign"}, None),
    ],
)
async def test_only_a_no_of_the_persons_own_on_this_list_is_heard(form: dict[str, str], notice: Notice | None) -> None:
    async with mailchimp() as (stage, _, _audience):
        heard = [one.notice for one in stage.connector.feedback(told(**{**UNSUBSCRIBED, **form}))]
        assert heard == ([notice] if notice else [])


async def test_nobody_is_believed_while_no_secret_is_configured() -> None:
    async with mailchimp(webhook_secret=None) as (stage, _, _audience):
        for request in (told(**UNSUBSCRIBED), replace(told(**UNSUBSCRIBED), path="")):
            with pytest.raises(Unverified, match="no secret"):
                stage.connector.feedback(request)

"""Requests by which vendors let us know: believed only if shown to be theirs."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr, ValidationError
from standardwebhooks import Webhook

from hub.sdk import (
    ConnectorConfig,
    Inbound,
    Unverified,
    WebhookSecret,
    insist_fresh,
    insist_secret,
    insist_signed,
    same,
)

SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"
NOW = datetime.now(UTC).replace(microsecond=0)


def request(body: bytes = b'{"a": 1}', **headers: str) -> Inbound:
    """Signed by the reference library."""
    signature = Webhook(SECRET).sign("msg-1", NOW, body.decode())
    signed = {"webhook-id": "msg-1", "webhook-timestamp": str(int(NOW.timestamp())), "webhook-signature": signature}
    return Inbound("POST", headers={**signed, **headers}, body=body, received_at=NOW)


def test_a_signature_of_the_reference_library_is_believed_also_among_others() -> None:
    insist_signed(SECRET, request())
    signature = request().headers["webhook-signature"]
    insist_signed(SECRET, request(**{"webhook-signature": f"v1,AAAA v1a,BBBB {signature}"}))


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": ""},
        {"webhook-id": "msg-2"},
        {"webhook-id": ""},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "yesterday"},
        {"webhook-timestamp": "9" * 40},
        {"webhook-timestamp": str(int(NOW.timestamp()) + 1)},
    ],
)
def test_what_was_changed_on_the_way_is_not_believed(changed: dict[str, str]) -> None:
    with pytest.raises(Unverified):
        insist_signed(SECRET, request(**changed))


def test_another_secret_and_another_time_are_not_believed() -> None:
    with pytest.raises(Unverified):
        insist_signed("whsec_" + "B" * 32, request())
    for away in (timedelta(minutes=6), timedelta(minutes=-6)):
        with pytest.raises(Unverified, match="five minutes"):
            insist_signed(SECRET, replace(request(), received_at=NOW + away))


def test_an_old_request_is_believed_only_where_the_vendor_repeats_what_it_signed_and_a_future_one_never() -> None:
    day = timedelta(days=1)
    insist_fresh(NOW - day, request(), oldest=day)
    for moment in (NOW - day - timedelta(seconds=1), NOW + timedelta(minutes=6)):
        with pytest.raises(Unverified, match="away"):
            insist_fresh(moment, request(), oldest=day)


def test_nothing_is_never_the_same_as_nothing() -> None:
    assert same("a", "a") and not same("a", "b") and not same("", "") and not same(None, "") and not same("ä", "a")


PASSWORD = SecretStr("kxR7-a_secret-of-ours")


def basic(text: str) -> dict[str, str]:
    return {"authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


@pytest.mark.parametrize(
    "knowing",
    [
        Inbound("POST", path=PASSWORD.get_secret_value()),
        Inbound("GET", path=f"{PASSWORD.get_secret_value()}/"),
        Inbound("POST", headers={"authorization": f"bearer {PASSWORD.get_secret_value()}"}),
        Inbound("POST", headers=basic(f"hub:{PASSWORD.get_secret_value()}")),
    ],
)
def test_whoever_knows_the_secret_is_believed_wherever_they_say_it(knowing: Inbound) -> None:
    insist_secret(PASSWORD, knowing)
    for wrong in (SecretStr("another-secret-of-ours"), None):
        with pytest.raises(Unverified):
            insist_secret(wrong, knowing)


@pytest.mark.parametrize(
    "stranger",
    [
        Inbound("POST"),
        Inbound("POST", path=f"{PASSWORD.get_secret_value()}/more"),
        Inbound("POST", headers={"authorization": PASSWORD.get_secret_value()}),
        Inbound("POST", headers={"authorization": f"Digest {PASSWORD.get_secret_value()}"}),
        Inbound("POST", headers=basic(PASSWORD.get_secret_value())),
        Inbound("POST", headers={"authorization": "Basic \xff"}),
        Inbound("POST", headers={"authorization": "Basic /w=="}),
    ],
)
def test_whoever_does_not_say_the_secret_is_not_believed(stranger: Inbound) -> None:
    with pytest.raises(Unverified):
        insist_secret(PASSWORD, stranger)


def test_a_webhook_secret_fits_into_an_address() -> None:
    class Config(ConnectorConfig):
        webhook_secret: WebhookSecret

    assert Config.model_validate({"webhook_secret": "a" * 16})
    for wrong in ("short", "with/slashes/and/so/on", "with blanks in the middle", "ä" * 20):
        with pytest.raises(ValidationError) as refusal:
            Config.model_validate({"webhook_secret": wrong})
        assert wrong not in str(refusal.value)

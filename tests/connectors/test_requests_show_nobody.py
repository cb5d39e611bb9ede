"""What is remembered of a connector's requests holds nothing of the people in them, whatever the vendor echoes."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import respx
from hypothesis import given
from hypothesis import strategies as st

from connectors.activecampaign import ActiveCampaign
from connectors.airship import Airship
from connectors.braze import Braze
from connectors.brevo import Brevo
from connectors.contentful import Contentful
from connectors.directus import Directus
from connectors.emarsys import Emarsys
from connectors.fcm import Fcm
from connectors.ghost import Ghost
from connectors.google import Google
from connectors.hubspot import HubSpot
from connectors.iterable import Iterable
from connectors.klaviyo import Klaviyo
from connectors.linkedin import LinkedIn
from connectors.mailchimp import Mailchimp
from connectors.meta import Meta
from connectors.microsoft import Microsoft
from connectors.onesignal import OneSignal
from connectors.pinterest import Pinterest
from connectors.sendgrid import SendGrid
from connectors.sfmc import MarketingCloud
from connectors.snapchat import Snapchat
from connectors.tiktok import TikTok
from connectors.tradedesk import TradeDesk
from connectors.unleash import Unleash
from connectors.webhook import Webhook
from connectors.wordpress import WordPress
from hub.core.history import Request, Traffic
from hub.sdk import Audience, Batch, EgressPolicy, Http, Person
from hub.services.recorder import Recorder, attempting
from hub.services.vocabulary import vocabulary_of
from tests.connectors.test_fcm import KEY_FILE
from tests.searching import search

CONNECTORS: dict[Any, dict[str, Any]] = {
    ActiveCampaign: {"api_url": "https://shop.api-us1.com", "token": "0123456789abcdef"},
    Airship: {"app_key": "ABCDEFGHIJKLMNOPQRSTUV", "master_secret": "0123456789abcdef", "tag_group": "hub"},
    Braze: {"instance": "rest.fra-01.braze.eu", "api_key": "0123456789abcdef"},
    Brevo: {"api_key": "xkeysib-0123456789", "new_contacts": "create"},
    Contentful: {"client_id": "4a7e2c9d-0b1f"},
    Directus: {"url": "https://cms.example.com", "token": "0123456789abcdef", "person": "email"},
    Emarsys: {"api_version": "v2", "user": "shop001", "secret": "0123456789abcdef"},
    Fcm: {"service_account": KEY_FILE},
    Ghost: {
        "url": "https://blog.example.com",
        "admin_api_key": f"{'0123456789ab' * 2}:{'0123456789abcdef' * 4}",
        "new_members": "create",
    },
    HubSpot: {"access_token": "pat-0123456789abcdef"},
    Google: {
        "account_id": "1234567890",
        "client_id": "hub.apps.example",
        "client_secret": "0123456789abcdef",
        "refresh_token": "1//0123456789abcdef",
        "terms_accepted": True,
    },
    Iterable: {"api_key": "0123456789abcdef"},
    Klaviyo: {"api_key": "pk_0123456789abcdef"},
    LinkedIn: {"account_id": "507404993", "access_token": "0123456789abcdef"},
    Mailchimp: {"api_key": "0123456789abcdef-us21", "list_id": "abc123", "new_contacts": "subscribed"},
    Meta: {"ad_account_id": "1234567890", "access_token": "0123456789abcdef"},
    Microsoft: {
        "developer_token": "0123456789abcdef",
        "customer_id": "251",
        "account_id": "180",
        "client_id": "hub.apps.example",
        "client_secret": "0123456789abcdef",
        "refresh_token": "0123456789abcdef",
    },
    OneSignal: {"app_id": "11111111-2222-3333-4444-555555555555", "api_key": "0123456789abcdef"},
    Pinterest: {
        "ad_account_id": "549755885175",
        "client_id": "hub.apps.example",
        "client_secret": "0123456789abcdef",
        "refresh_token": "0123456789abcdef",
    },
    SendGrid: {"api_key": "SG.0123456789abcdef"},
    MarketingCloud: {"subdomain": "shop", "client_id": "0123456789abcdef", "client_secret": "0123456789abcdef"},
    Snapchat: {
        "ad_account_id": "8adc3db7-8148-4fbf-999c-8d2266369d74",
        "client_id": "hub.apps.example",
        "client_secret": "0123456789abcdef",
        "refresh_token": "0123456789abcdef",
    },
    TikTok: {"advertiser_id": "1234567890", "access_token": "0123456789abcdef"},
    Unleash: {"url": "https://flags.example.com", "token": "0123456789abcdef"},
    TradeDesk: {"advertiser_id": "7abc123", "region": "us_east", "secret_key": "0123456789abcdef"},
    Webhook: {"url": "https://hooks.example.com/own/path", "secret": "whsec_" + "QUJD" * 8},
    WordPress: {
        "url": "https://shop.example.com/wp-json",
        "username": "hub",
        "application_password": "0123 4567 89ab cdef",
    },
}
# Fields that are sent as they are.
DESCRIBED = {
    ActiveCampaign: ("first_name", "7"),
    Emarsys: ("1", "2044"),
    LinkedIn: ("firstName", "lastName"),
    Ghost: ("name", "note"),
    Unleash: (),
}
# Of letters that names and addresses are made of, and with a mark that no connector's own words hold.
words = st.text("abcdefghijklmnopqrstuvwxyz0123456789._-", min_size=10, max_size=20).map(lambda text: f"{text}q7x")
persons = st.builds(
    lambda id, address, name, age: Person(f"id{id}", f"{address}@example.com", {"FNAME": name, "AGE": age}),
    words,
    words,
    words,
    st.integers(10**9, 10**12),
)


def of(person: Person) -> set[str]:
    """Everything that could give the person away, and the hashes that vendors name them by."""
    said = {person.id, person.key, person.value or person.key, *(str(value) for value in person.fields.values())}
    return said | {hash(one.encode()).hexdigest() for one in said for hash in (hashlib.md5, hashlib.sha256)}


def as_taken_by(connector: Any, people: list[Person]) -> list[Person]:
    """Ads connectors take people under each identifier; some vendors only fields of names that are theirs."""
    able = connector.capabilities
    if not able.identifiers and connector not in DESCRIBED:
        return people
    named = [name for name in able.spellings if name not in able.identifiers] or list(DESCRIBED.get(connector, ()))
    return [
        person._replace(
            key=f"{able.identifiers[0]}:{person.key}" if able.identifiers else person.key,
            fields=dict(zip(named, map(str, person.fields.values()), strict=False)),
            signals=dict.fromkeys(able.signals, True),
        )
        for person in people
    ]


async def remembered(connector: Any, batch: Batch) -> list[Request]:
    people = [*batch.add, *batch.remove]
    echo = {person.key: {person.id: [dict(person.fields), person.key]} for person in people}
    echo |= {"errors": [{"email_address": p.key, "error": p.key, p.id: p.key} for p in people], "identity": dict(echo)}
    echo["access_token"] = "0123456789abcdef"
    # SendGrid is asked first what it calls the fields.
    defined = [{"id": f"e_{name}", "name": name, "field_type": "Text"} for name in ("FNAME", "AGE")]
    # And Ghost, whether they are members.
    echo |= {"custom_fields": defined, "reserved_fields": [], "members": []}
    # And Unleash, for the segment.
    echo |= {"id": 1000, "name": "vip", "constraints": [{"contextName": "userId", "operator": "IN", "values": ["x"]}]}
    # And Pinterest, whether it has the list.
    echo["items"] = [{"id": "643", "name": "1000"}]
    hub: Any = SimpleNamespace(clock=SimpleNamespace(now=lambda: datetime.now(UTC)))
    recorder = Recorder(hub, SimpleNamespace(), vocabulary_of(connector).with_keys(["FNAME", "AGE"]), Traffic())  # type: ignore[arg-type]
    with respx.mock(assert_all_called=False) as mock:
        mock.route().mock(side_effect=lambda request: httpx.Response(200, json=echo))
        async with Http(EgressPolicy()) as http:
            made = connector(connector.Config.model_validate(CONNECTORS[connector]), http)
            with recorder.listening():
                attempting(1, len(batch))
                await asyncio.gather(made.apply(Audience("vip", "1000"), batch), return_exceptions=True)
    return [*recorder._fresh, *recorder._last]


@pytest.mark.parametrize("connector", CONNECTORS, ids=lambda connector: connector.key)
@search(15)
@given(st.lists(persons, min_size=1, max_size=4, unique_by=lambda person: person.key))
def test_nothing_of_anybody_is_remembered_of_a_request(connector: Any, people: list[Person]) -> None:
    people = as_taken_by(connector, people)
    kept = asyncio.run(remembered(connector, Batch(add=people[:2], remove=people[2:])))
    shown = repr(kept)
    assert kept and any(request.sent for request in kept)
    assert not [one for person in people for one in of(person) if one in shown]

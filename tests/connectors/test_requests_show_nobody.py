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

from connectors.mailchimp import Mailchimp
from connectors.onesignal import OneSignal
from connectors.webhook import Webhook
from hub.core.history import Request, Traffic
from hub.sdk import Audience, Batch, EgressPolicy, Http, Person
from hub.services.recorder import Recorder, attempting
from hub.services.vocabulary import vocabulary_of
from tests.searching import search

CONNECTORS: dict[Any, dict[str, Any]] = {
    Mailchimp: {"api_key": "0123456789abcdef-us21", "list_id": "abc123", "new_contacts": "subscribed"},
    OneSignal: {"app_id": "11111111-2222-3333-4444-555555555555", "api_key": "0123456789abcdef"},
    Webhook: {"url": "https://hooks.example.com/own/path", "secret": "whsec_" + "QUJD" * 8},
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
    said = {person.id, person.key, *(str(value) for value in person.fields.values())}
    return said | {hash(one.encode()).hexdigest() for one in said for hash in (hashlib.md5, hashlib.sha256)}


async def remembered(connector: Any, batch: Batch) -> list[Request]:
    people = [*batch.add, *batch.remove]
    echo = {person.key: {person.id: [dict(person.fields), person.key]} for person in people}
    echo |= {"errors": [{"email_address": p.key, "error": p.key, p.id: p.key} for p in people], "identity": dict(echo)}
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
    kept = asyncio.run(remembered(connector, Batch(add=people[:2], remove=people[2:])))
    shown = repr(kept)
    assert kept and any(request.sent for request in kept)
    assert not [one for person in people for one in of(person) if one in shown]

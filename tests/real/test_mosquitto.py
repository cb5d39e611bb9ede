"""MQTT, the connector, against Mosquitto; whoever subscribes afterwards is the judge."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from connectors.mqtt import Mqtt, MqttConfig
from hub.sdk import Audience, AuthError, Batch, EgressPolicy, Http, OutcomeKind, Person, Result
from hub.sdk.testing import ConnectorContract, Vendor
from tests.real.mosquitto import PASSWORD, RealMosquitto

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="function")]

VIP = Audience("vip", "vip")


class Topics(Vendor):
    """Those below a topic that no other test uses."""

    def __init__(self, broker: RealMosquitto) -> None:
        super().__init__()
        self.broker, self.listens = broker, broker.listens
        self.below = f"audiences/{uuid4().hex}"

    def config(self, **other: Any) -> dict[str, Any]:
        return self.broker.config(**{"topic": f"{self.below}/{{audience}}/{{person}}", **other})

    def connector(self, **other: Any) -> Mqtt:
        return Mqtt(MqttConfig(**self.config(**other)), Http(EgressPolicy(self.listens)))

    def members(self, audience: Audience) -> set[str]:
        told = self.broker.retained(f"{self.below}/{audience.ref}").values()
        return {one["id"] for one in map(json.loads, told) if one["member"]}

    def state(self) -> Any:
        return self.broker.retained(self.below), dict(self.subscriptions)


@pytest.fixture
def topics(mosquitto: RealMosquitto) -> Topics:
    return Topics(mosquitto)


class TestMosquitto(ConnectorContract):
    connector = Mqtt
    fields = {"first_name": "Annabella-Private"}  # noqa: RUF012
    refuses_people = False

    @pytest.fixture(autouse=True)
    def _served(self, topics: Topics) -> None:
        self.topics, self.config = topics, topics.config()  # type: ignore[misc]

    def make_vendor(self) -> Topics:
        return self.topics


async def test_whoever_subscribes_is_told_of_those_who_are_in_and_of_nobody_else(topics: Topics) -> None:
    crowd = [Person(f"n{number}", f"+49/{number}#", {"city": "Köln" * 50}) for number in range(3000)]
    connector = topics.connector(identifier="phone", batch=1500)
    for batch in (Batch(crowd[:1500], run="1"), Batch(crowd[1500:], run="1"), Batch([], crowd[10:], run="2")):
        assert await connector.apply(VIP, batch) == Result()
    told = topics.broker.retained(f"{topics.below}/vip")
    assert {json.loads(one)["phone"] for one in told.values()} == {person.key for person in crowd[:10]}
    assert f"{topics.below}/vip/%2B49%2F7%23" in told


async def test_what_mosquitto_will_not_take_is_rejected_and_the_others_are_kept(topics: Topics) -> None:
    """Beyond its message_size_limit it refuses the one; beyond its max_packet_size it would hang up on all."""
    ann, bob = Person("ann", "ann"), Person("bob", "bob")
    refused, unsaid = Person("cem", "cem", {"story": "x" * 12_000}), Person("dan", "dan", {"story": "x" * 30_000})
    result = await topics.connector().apply(VIP, Batch([ann, refused, unsaid, bob], run="1"))
    assert {key: one.kind for key, one in result.outcomes.items()} == dict.fromkeys(
        ("cem", "dan"), OutcomeKind.REJECTED
    )
    assert topics.members(VIP) == {"ann", "bob"}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"password": "wr0ng-password"}, "does not let this user in"),
        ({"username": None, "password": None}, "does not let this user in"),
        ({"username": "stranger"}, "may not publish to the topics"),
        ({"ca": None}, "not trusted"),
    ],
)
async def test_whoever_is_not_let_in_is_told_why(topics: Topics, wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(AuthError, match=why) as told:
        await topics.connector(**wrong).apply(VIP, Batch([Person("ann", "ann")], run="1"))
    assert PASSWORD not in str(told.value) and "wr0ng" not in str(told.value)
    assert not topics.members(VIP)


async def test_a_listener_that_acknowledges_nothing_is_refused(topics: Topics) -> None:
    with pytest.raises(AuthError, match="acknowledges no messages"):
        await topics.connector(port=topics.broker.forgetful).check()

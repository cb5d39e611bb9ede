"""MQTT 5: the last word on each person is kept under a topic of their own; against a broker in this process."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trustme
from mqtt5 import ConnAckReasonCode, DisconnectReasonCode, PubAckReasonCode, PublishPacket, QoS
from pydantic import ValidationError

from connectors.mqtt import Mqtt, MqttConfig, delivery, session
from connectors.mqtt.delivery import outcome
from hub.sdk import (
    Audience,
    AuthError,
    Batch,
    ConnectorError,
    EgressDenied,
    EgressPolicy,
    Http,
    Outcome,
    OutcomeKind,
    Person,
    RefusedError,
    Result,
    TransientError,
)
from hub.sdk.calls import one_call
from hub.sdk.testing import ConnectorContract
from hub.sdk.testing.http_contract import error_of
from tests.clockwork import let_pass
from tests.connectors.mqtt_broker import PASSWORD, USER, Answer, Broker, serving
from tests.connectors.through_the_hub import ThroughTheHub

VIP = Audience("V I P", "vip")
ANN, BOB = Person("ann", "ann", {"email": "ann@example.com", "tags": ["a"]}), Person("bob", "bob")
CEM = Person("cem", "cem")
REASONS = [name for name in dir(PubAckReasonCode) if name.isupper()]
REFUSALS = [name for name in dir(ConnAckReasonCode) if name.isupper() and name != "SUCCESS"]


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with serving() as broker:
        yield broker


class TestMqtt(ThroughTheHub, ConnectorContract):
    connector = Mqtt
    fields = {"first_name": "Annabella-Private"}  # noqa: RUF012

    @pytest.fixture(autouse=True)
    async def _served(self, broker: Broker) -> None:
        self.broker, self.config = broker, broker.config()  # type: ignore[misc]

    def make_vendor(self) -> Broker:
        return self.broker


def mqtt(broker: Broker, **config: Any) -> Mqtt:
    return Mqtt(MqttConfig(**broker.config(**config)), Http(EgressPolicy(broker.listens)))


async def test_the_messages_of_a_batch(broker: Broker) -> None:
    await mqtt(broker).apply(VIP, Batch([BOB], run="6"))
    broker.heard.clear()
    result = await mqtt(broker).apply(VIP, Batch([ANN], [BOB], sync="vip-to-mqtt", run="7"))
    assert result == Result()
    value = {"audience": "V I P", "id": "ann", "member": True, "fields": {"email": "ann@example.com", "tags": ["a"]}}
    assert {topic: json.loads(told) for topic, told in broker.retained.items()} == {"audiences/vip/ann": value}
    assert [(one.topic, bool(one.payload)) for one in broker.heard] == [
        ("audiences/vip/ann", True),
        ("audiences/vip/bob", False),
    ]
    for one in broker.heard:
        assert (one.retain, one.qos, one.content_type) == (True, QoS.AT_LEAST_ONCE, "application/json")
        assert one.user_properties == [("audience", "V I P"), ("sync", "vip-to-mqtt"), ("run", "7")]


async def test_a_remove_may_be_a_message_that_says_so(broker: Broker) -> None:
    await mqtt(broker, removes="message", identifier="email").apply(VIP, Batch(remove=[BOB], run="7"))
    assert json.loads(broker.retained["audiences/vip/bob"]) == {"audience": "V I P", "email": "bob", "member": False}


@pytest.mark.parametrize(
    ("key", "topic"),
    [
        ("+4915112345678", "crm/vip/%2B4915112345678/now"),
        ("ann+shop@example.com", "crm/vip/ann%2Bshop@example.com/now"),
        ("a/b#c", "crm/vip/a%2Fb%23c/now"),
        ("müller", "crm/vip/m%C3%BCller/now"),
    ],
)
async def test_whoever_is_named_by_what_a_topic_cannot_hold_is_named_as_in_an_address(
    broker: Broker, key: str, topic: str
) -> None:
    connector = mqtt(broker, topic="crm/{audience}/{person}/now", identifier="phone")
    assert await connector.apply(VIP, Batch([Person("x", key)], run="7")) == Result()
    assert list(broker.retained) == [topic] and json.loads(broker.retained[topic])["phone"] == key
    await connector.apply(VIP, Batch(remove=[Person("x", key)], run="8"))
    assert not broker.retained


async def test_an_audience_s_name_brings_no_control_characters(broker: Broker) -> None:
    await mqtt(broker).apply(Audience("V\tI\x00P", "vip"), Batch([ANN], run="7"))
    assert dict(broker.heard[0].user_properties)["audience"] == "VIP"


async def test_no_more_is_under_way_than_the_broker_allows(broker: Broker) -> None:
    broker.terms, broker.slow = {"receive_max": 3}, True
    crowd = [Person(str(number), str(number)) for number in range(20)]
    assert await mqtt(broker).apply(VIP, Batch(crowd, run="7")) == Result()
    assert len(broker.retained) == 20 and broker.most_at_once == 3


async def test_who_does_not_fit_is_rejected_and_the_others_are_kept(broker: Broker) -> None:
    broker.terms = {"max_packet_size": 1000}
    large = Person("dan", "dan", {"story": "x" * 1000})
    long = Person("eve", "e" * 70_000)
    result = await mqtt(broker).apply(VIP, Batch([ANN, large, long, BOB], run="7"))
    assert result.outcomes == {
        "dan": Outcome(OutcomeKind.REJECTED, "the message is larger than the broker takes"),
        long.key: Outcome(OutcomeKind.REJECTED, "the topic would be too long"),
    }
    assert broker.retained.keys() == {"audiences/vip/ann", "audiences/vip/bob"}


@pytest.mark.parametrize("code", ["PACKET_TOO_LARGE", "TOPIC_NAME_INVALID", "PAYLOAD_FORMAT_INVALID"])
async def test_where_one_message_makes_the_broker_hang_up_it_is_found_by_halving(broker: Broker, code: str) -> None:
    def verdict(packet: PublishPacket) -> Answer:
        spoilt = packet.topic.endswith("/bob")
        return getattr(DisconnectReasonCode, code) if spoilt else PubAckReasonCode.SUCCESS

    broker.verdict = verdict
    for people, reached in (([ANN, BOB, CEM], True), ([BOB], False)):
        with pytest.raises(RefusedError, match=code) as refused, one_call():
            await mqtt(broker).apply(VIP, Batch(people, run="7"))
        assert refused.value.divisible and refused.value.reached is reached


async def test_what_was_not_answered_is_unknown_and_what_was_not_sent_is_sent_again(broker: Broker) -> None:
    broker.terms = {"receive_max": 1}
    for hangs_up, why in ((None, "EOFError"), (DisconnectReasonCode.SERVER_SHUTTING_DOWN, "SERVER_SHUTTING_DOWN")):
        broker.verdict = lambda one: PubAckReasonCode.SUCCESS if one.topic.endswith("/ann") else hangs_up  # noqa: B023
        told = (await mqtt(broker).apply(VIP, Batch([ANN, BOB, CEM], run="7"))).outcomes
        assert {key: one.kind for key, one in told.items()} == {"bob": OutcomeKind.UNKNOWN, "cem": OutcomeKind.RETRY}
        assert all(why in one.reason for one in told.values())


async def test_a_broker_that_falls_silent_is_not_waited_for(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    broker.terms = {"receive_max": 2}

    def silent(packet: PublishPacket, _: asyncio.StreamWriter) -> bool:
        broker.heard.append(packet)
        if len(broker.heard) == 2:
            let_pass(delivery.DELIVER_S)
        return True

    monkeypatch.setattr(broker, "_published", silent)
    told = (await mqtt(broker).apply(VIP, Batch([ANN, BOB, CEM], run="7"))).outcomes
    kinds = [told[one.key].kind for one in (ANN, BOB, CEM)]
    assert kinds == [OutcomeKind.UNKNOWN, OutcomeKind.UNKNOWN, OutcomeKind.RETRY]


@pytest.mark.parametrize("said", [b"\x40\x03\x00\x01\xee", b"\x40\x02\x00\x09", b"\xd0\x00", b"\x00" * 100_000])
async def test_an_answer_that_is_none_is_no_success(broker: Broker, said: bytes) -> None:
    """An unknown reason, an answer to nobody's message, one to no ping, and no packets at all."""
    broker._published = lambda packet, writer: bool(writer.write(said)) or True  # type: ignore[method-assign]
    told = (await mqtt(broker).apply(VIP, Batch([ANN], run="7"))).outcomes
    assert told["ann"].kind is OutcomeKind.UNKNOWN and "ValueError" in told["ann"].reason


async def test_mosquitto_s_own_reason_for_a_message_that_is_too_large(broker: Broker) -> None:
    broker._published = lambda packet, writer: bool(writer.write(b"\x40\x03\x00\x01\x95")) or True  # type: ignore[method-assign]
    told = (await mqtt(broker).apply(VIP, Batch([ANN], run="7"))).outcomes
    assert told["ann"].kind is OutcomeKind.REJECTED and "too large" in told["ann"].reason


@pytest.mark.parametrize("answer", REASONS)
def test_only_what_was_kept_counts_as_kept(answer: str) -> None:
    told = outcome(answer)
    assert (told is None) is (answer in {"SUCCESS", "NO_MATCHING_SUBSCRIBERS"})
    again = {"UNSPECIFIED_ERROR", "NOT_AUTHORIZED", "PACKET_ID_IN_USE", "QUOTA_EXCEEDED"}
    assert told is None or told.reason
    assert told is None or (told.kind is OutcomeKind.RETRY) is (answer in again)


async def test_a_user_who_may_publish_nothing_pauses_the_destination(broker: Broker) -> None:
    broker.verdict = lambda _: PubAckReasonCode.NOT_AUTHORIZED
    error = await error_of(lambda: mqtt(broker).apply(VIP, Batch([ANN], [BOB], run="7")))
    assert isinstance(error, AuthError) and error.reason == "the user may not publish to the topics"
    broker.verdict = lambda one: (
        PubAckReasonCode.SUCCESS if one.topic.endswith("/ann") else PubAckReasonCode.NOT_AUTHORIZED
    )
    told = (await mqtt(broker).apply(VIP, Batch([ANN], [BOB], run="7"))).outcomes
    assert told == {"bob": Outcome(OutcomeKind.RETRY, "the broker answered NOT_AUTHORIZED")}


@pytest.mark.parametrize("reason", REFUSALS)
async def test_a_broker_that_does_not_let_us_in(broker: Broker, reason: str) -> None:
    broker.terms = {"reason_code": getattr(ConnAckReasonCode, reason), "server_reference": "elsewhere.example.com"}
    for call in (mqtt(broker).check, lambda: mqtt(broker).apply(VIP, Batch([ANN], run="7"))):
        error = await error_of(call)
        assert type(error) is (AuthError if reason in session.PAUSING else TransientError)
        assert isinstance(error, AuthError) or not error.sent  # type: ignore[attr-defined]
        assert "elsewhere" not in str(error) and not broker.heard


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        ({"retain_available": False}, "no retained messages"),
        ({"max_qos": QoS.AT_MOST_ONCE}, "acknowledges no messages"),
    ],
)
async def test_a_broker_that_would_keep_or_answer_nothing_is_refused(
    broker: Broker, terms: dict[str, Any], why: str
) -> None:
    broker.terms = terms
    error = await error_of(mqtt(broker).check)
    assert isinstance(error, AuthError) and why in error.reason


@pytest.mark.parametrize(
    "said",
    [
        b"\x20\x02\x00\x01",  # a broker of before MQTT 5
        b"\x20\x02\x00\x00",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
        b"\xd0\x00",
    ],
)
async def test_something_else_that_listens_there_was_not_sent_to(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1000))
        writer.write(said)
        writer.close()

    heard: list[bytes] = []
    broker = Broker()
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        broker.listens = frozenset({f"127.0.0.1:{server.sockets[0].getsockname()[1]}"})
        error = await error_of(lambda: mqtt(broker).apply(VIP, Batch([ANN], run="7")))
    assert isinstance(error, TransientError) and not error.sent and "MQTT 5" in error.reason
    assert len(heard) == 1 and b"ann" not in heard[0]


async def test_nobody_there_was_not_sent_to() -> None:
    broker = Broker()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        broker.listens = frozenset({f"127.0.0.1:{nobody.getsockname()[1]}"})
        error = await error_of(mqtt(broker).check)
    assert isinstance(error, TransientError) and not error.sent


async def test_a_broker_that_never_answers_was_not_sent_to(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "ANSWER_S", 0.2)
    broker._answered = lambda packet, writer: True  # type: ignore[method-assign]
    error = await error_of(mqtt(broker).check)
    assert isinstance(error, TransientError) and not error.sent


async def test_the_user_and_the_password_are_given_over_tls_only_to_whom_we_trust() -> None:
    ours, others = trustme.CA(), trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.issue_cert("127.0.0.1").configure_cert(tls)
    async with serving(tls) as broker:
        for authority, password, kind in ((ours, PASSWORD, None), (ours, "wr0ng-password", AuthError),
                                          (others, PASSWORD, AuthError), (None, PASSWORD, AuthError)):  # fmt: skip
            broker.clients.clear()
            ca = authority.cert_pem.bytes().decode() if authority else None
            connector = mqtt(broker, security="tls", ca=ca, username=USER, password=password)
            if kind is None:
                assert (await connector.check()).label.startswith(f"{USER} at 127.0.0.1:")
                assert await connector.apply(VIP, Batch([ANN], run="7")) == Result()
            else:
                error = await error_of(connector.check)
                assert type(error) is kind and "wr0ng" not in str(error)
            assert bool(broker.clients) is (authority is ours), "something was said to a broker that is not trusted"


async def test_a_broker_that_speaks_no_tls_hears_nothing(broker: Broker) -> None:
    error = await error_of(mqtt(broker, security="tls", username=USER, password=PASSWORD).check)
    assert isinstance(error, ConnectorError) and not broker.clients


async def test_each_connection_has_a_client_id_of_its_own(broker: Broker) -> None:
    connector = mqtt(broker, client_id="shop-")
    for _ in range(3):
        await connector.check()
    ids = {one.client_id for one in broker.clients}
    assert len(ids) == 3 and all(one.startswith("shop-") for one in ids)
    assert all(one.clean_start for one in broker.clients)
    assert not any(one.request_problem_info for one in broker.clients), "its own words could name people"


@pytest.mark.parametrize("host", ["127.0.0.1", "mqtt.example.com", "localhost"])
async def test_a_broker_that_the_operator_has_not_listed_is_not_dialled(broker: Broker, host: str) -> None:
    config = broker.config(host=host)
    connector = Mqtt(MqttConfig(**config), Http(EgressPolicy(frozenset({"other.example.com:1883"}))))
    for call in (connector.check, lambda: connector.apply(VIP, Batch([ANN], run="7"))):
        with pytest.raises(EgressDenied, match=f"port {config['port']} may not be reached"):
            await call()
    assert not broker.clients


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": ""},
        {"port": 0},
        {"topic": "audiences/{person}"},
        {"topic": "{audience}/{person}/{person}"},
        {"topic": "+/{audience}/{person}"},
        {"topic": "{audience}/{person}/#"},
        {"topic": "$SYS/{audience}/{person}"},
        {"topic": "{sync}/{audience}/{person}"},
        {"topic": "a\x00/{audience}/{person}"},
        {"ca": "no certificate"},
        {"ca": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
        {"username": "u", "password": "p", "security": "plaintext"},
        {"client_id": "with space"},
        {"batch": 0},
    ],
)
def test_a_wrong_configuration_is_refused(wrong: dict[str, Any]) -> None:
    good = {"host": "mqtt.example.com"}
    MqttConfig.model_validate(good)
    with pytest.raises(ValidationError):
        MqttConfig.model_validate({**good, **wrong})

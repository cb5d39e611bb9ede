"""Kafka: a record each, kept or told apart; against librdkafka's mock cluster, read by another client."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest
import trustme
from confluent_kafka import KafkaError
from pydantic import ValidationError

from connectors.kafka import Kafka, KafkaConfig, client
from connectors.kafka.client import Heard, outcome
from hub.sdk import (
    Audience,
    AuthError,
    Batch,
    EgressDenied,
    EgressPolicy,
    Http,
    Outcome,
    OutcomeKind,
    Person,
    Result,
    TransientError,
)
from hub.sdk.testing import ConnectorContract
from hub.sdk.testing.http_contract import error_of
from tests.connectors.kafka_cluster import Brokers
from tests.connectors.through_the_hub import ThroughTheHub

VIP = Audience("V I P", "vip")
ANN, BOB = Person("ann", "ann", {"email": "ann@example.com", "tags": ["a"]}), Person("bob", "bob")


@pytest.fixture
def brokers() -> Iterator[Brokers]:
    return Brokers()


class TestKafka(ThroughTheHub, ConnectorContract):
    connector = Kafka
    fields = {"first_name": "Annabella-Private"}  # noqa: RUF012
    refuses_people = False

    @pytest.fixture(autouse=True)
    def _served(self, brokers: Brokers) -> None:
        self.brokers, self.config = brokers, brokers.config()  # type: ignore[misc]

    def make_vendor(self) -> Brokers:
        return self.brokers


def kafka(brokers: Brokers, **config: Any) -> Kafka:
    return Kafka(KafkaConfig(**brokers.config(**config)), Http(EgressPolicy(brokers.listens)))


def told(brokers: Brokers, topic: str) -> dict[str, Any]:
    records = brokers.records(topic)
    return {one.key().decode(): one.value() and json.loads(one.value()) for one in records}


async def test_the_records_of_a_batch(brokers: Brokers) -> None:
    result = await kafka(brokers).apply(VIP, Batch([ANN], [BOB], sync="vip-to-kafka", run="7"))
    assert result == Result()
    value = {"audience": "V I P", "id": "ann", "member": True, "fields": {"email": "ann@example.com", "tags": ["a"]}}
    assert told(brokers, "audience.vip") == {"ann": value, "bob": None}
    for record in brokers.records("audience.vip"):
        assert record.headers() == [("audience", b"V I P"), ("sync", b"vip-to-kafka"), ("run", b"7")]


async def test_a_remove_may_be_a_record_that_says_so(brokers: Brokers) -> None:
    await kafka(brokers, removes="record", identifier="email").apply(VIP, Batch(remove=[BOB], run="7"))
    assert told(brokers, "audience.vip") == {"bob": {"audience": "V I P", "email": "bob", "member": False}}


async def test_audiences_that_share_a_topic_keep_a_last_word_each(brokers: Brokers) -> None:
    connector = kafka(brokers, topic="members")
    for ref in ("vip", "lapsed"):
        await connector.apply(Audience(ref, ref), Batch([BOB], run="7"))
    assert told(brokers, "members").keys() == {"vip:bob", "lapsed:bob"}


async def test_records_of_one_person_stay_in_their_order(brokers: Brokers) -> None:
    connector = kafka(brokers)
    for number in range(6):
        person = Person("ann", "ann", {"n": number})
        await connector.apply(VIP, Batch([person], run="7") if number % 2 == 0 else Batch(remove=[person], run="7"))
    records = brokers.records("audience.vip")
    assert len({one.partition() for one in records}) == 1
    numbers = [json.loads(one.value())["fields"]["n"] if one.value() else None for one in records]
    assert numbers == [number if number % 2 == 0 else None for number in range(6)]


async def test_who_does_not_fit_is_rejected_and_the_others_are_kept(brokers: Brokers) -> None:
    large = Person("cem", "cem", {"story": "x" * 3000})
    result = await kafka(brokers, largest_record=2000).apply(VIP, Batch([ANN, large, BOB], run="7"))
    assert result == Result({"cem": Outcome(OutcomeKind.REJECTED, "the record is larger than the topic takes")})
    assert told(brokers, "audience.vip").keys() == {"ann", "bob"}


async def test_a_check_changes_nothing_and_names_the_cluster(brokers: Brokers) -> None:
    before = brokers.topics()
    assert (await kafka(brokers).check()).label.startswith("cluster ")
    assert brokers.topics() == before


async def test_every_broker_must_be_listed_and_one_that_is_not_hears_no_record(brokers: Brokers) -> None:
    first, second = sorted(brokers.listens)
    for listed, refused in ((frozenset[str](), first), (frozenset({first}), second)):
        connector = Kafka(KafkaConfig(**brokers.config(bootstrap=[first])), Http(EgressPolicy(listed)))
        for call in (connector.check, lambda: connector.apply(VIP, Batch([ANN], run="7"))):  # noqa: B023
            with pytest.raises(EgressDenied, match=f"the broker {refused} may not be reached"):
                await call()
    assert "audience.vip" not in brokers.topics()


async def test_where_nobody_answers_nothing_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ASK_S", 1.0)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{nobody.getsockname()[1]}"
        connector = Kafka(KafkaConfig(bootstrap=[at], security="plaintext"), Http(EgressPolicy(frozenset({at}))))
        error = await error_of(lambda: connector.apply(VIP, Batch([ANN], run="7")))
    assert isinstance(error, TransientError) and not error.sent


async def test_a_broker_whose_certificate_is_not_trusted_pauses_the_destination(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "ASK_S", 4.0)
    ours, others = trustme.CA(), trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.issue_cert("127.0.0.1").configure_cert(tls)

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))
        writer.close()

    heard: list[bytes] = []
    async with await asyncio.start_server(listen, "127.0.0.1", 0, ssl=tls) as server:
        at = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for authority, kind in ((ours, TransientError), (others, AuthError), (None, AuthError)):
            ca = authority.cert_pem.bytes().decode() if authority else None
            connector = Kafka(KafkaConfig(bootstrap=[at], ca=ca), Http(EgressPolicy(frozenset({at}))))
            error = await error_of(connector.check)
            assert type(error) is kind, f"{error!r}"
            assert bool(heard) is (authority is ours), "something was said to a broker that is not trusted"
            heard.clear()


async def test_the_loop_runs_on_while_records_are_delivered(brokers: Brokers) -> None:
    ticks, connector = [time.monotonic()], kafka(brokers)

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.01)
            ticks.append(time.monotonic())

    ticking = asyncio.create_task(tick())
    await connector.apply(VIP, Batch([Person(str(n), str(n), {"x": "y" * 200}) for n in range(2000)], run="7"))
    ticking.cancel()
    assert len(ticks) > 3


def test_what_a_broker_that_is_gone_may_have_kept_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "DELIVER_S", 3.0)
    brokers = Brokers()
    config = KafkaConfig(**brokers.config())
    del brokers
    records = [client.Record("ann", b"ann", b"{}"), client.Record("bob", b"bob", None)]
    told = client.kept(config, "audience.vip", records, [])
    assert {key: one.kind for key, one in told.items()} == dict.fromkeys(("ann", "bob"), OutcomeKind.UNKNOWN)


def test_what_has_no_word_is_unknown() -> None:
    records = [client.Record("ann", b"ann", None), client.Record("bob", b"bob", None)]
    told = client._exceptions(records, {"ann": None})
    assert {key: one.kind for key, one in told.items()} == {"bob": OutcomeKind.UNKNOWN}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (KafkaError.MSG_SIZE_TOO_LARGE, OutcomeKind.REJECTED),
        (KafkaError.INVALID_RECORD, OutcomeKind.REJECTED),
        (KafkaError.NOT_ENOUGH_REPLICAS, OutcomeKind.RETRY),
        (KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND, OutcomeKind.UNKNOWN),
        (KafkaError._MSG_TIMED_OUT, OutcomeKind.UNKNOWN),
        (KafkaError._PURGE_INFLIGHT, OutcomeKind.UNKNOWN),
        (KafkaError._PURGE_QUEUE, OutcomeKind.RETRY),
        (KafkaError.REQUEST_TIMED_OUT, OutcomeKind.UNKNOWN),
    ],
)
def test_only_what_was_certainly_not_kept_is_sent_again_as_if_it_were_new(code: int, kind: OutcomeKind) -> None:
    assert outcome(KafkaError(code)).kind is kind and outcome(KafkaError(code)).reason


def test_an_account_without_rights_is_told_unless_some_records_may_have_been_kept() -> None:
    refused = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(AuthError, match="may not write to the topic"):
        client._raise_if_hopeless([refused, refused])
    for other in (None, KafkaError(KafkaError._MSG_TIMED_OUT)):
        client._raise_if_hopeless([refused, other])


def test_what_is_heard_beside_the_records_says_why_nobody_answers() -> None:
    heard = Heard()
    assert isinstance(heard.fault(KafkaError(KafkaError._TRANSPORT)), TransientError)
    heard.note(KafkaError(KafkaError._AUTHENTICATION, "user hub refused"))
    fault = heard.fault(KafkaError(KafkaError._TRANSPORT))
    assert isinstance(fault, AuthError) and fault.reason == "the brokers refuse the user or the password"


@pytest.mark.parametrize(
    "wrong",
    [
        {"bootstrap": []},
        {"bootstrap": ["broker"]},
        {"bootstrap": ["PLAINTEXT://broker:9092"]},
        {"topic": ""},
        {"topic": "with space"},
        {"topic": "{sync}"},
        {"sasl": "SCRAM-SHA-256"},
        {"sasl": "PLAIN", "username": "u", "password": "p", "security": "plaintext"},
        {"batch": 0},
    ],
)
def test_a_wrong_configuration_is_refused(wrong: dict[str, Any]) -> None:
    good = {"bootstrap": ["broker.example.com:9092"]}
    KafkaConfig.model_validate(good)
    with pytest.raises(ValidationError):
        KafkaConfig.model_validate({**good, **wrong})

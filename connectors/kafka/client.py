"""librdkafka, asked from a thread of its own: which brokers there are, and to keep records until it has said of each
what became of it."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import certifi
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from connectors.kafka.config import KafkaConfig
from hub.sdk import AuthError, ConnectorError, Outcome, OutcomeKind, TransientError

Headers = list[tuple[str, str | bytes | None]]

ASK_S, DELIVER_S = 15.0, 30.0

REJECTED = {
    KafkaError.MSG_SIZE_TOO_LARGE: "the record is larger than the topic takes",
    KafkaError.RECORD_LIST_TOO_LARGE: "the record is larger than the topic takes",
    KafkaError.INVALID_RECORD: "the topic does not take such a record",
}
# What a person has to do about the account, the topic or the configuration.
PAUSING = {
    KafkaError._AUTHENTICATION: "the brokers refuse the user or the password",
    KafkaError.SASL_AUTHENTICATION_FAILED: "the brokers refuse the user or the password",
    KafkaError._SSL: "the connection cannot be secured: see security and ca",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "the user may not write to the topic",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "the user may not write idempotently",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "there is no such topic",
    KafkaError._UNKNOWN_TOPIC: "there is no such topic",
    KafkaError.TOPIC_EXCEPTION: "the topic's name is not allowed",
    KafkaError.POLICY_VIOLATION: "the cluster's policy does not allow it",
}
# Certainly not kept. Of anything else, such as a time-out, the broker may have kept the record and its word got lost.
AGAIN = frozenset(
    {
        KafkaError._PURGE_QUEUE,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
        KafkaError.KAFKA_STORAGE_ERROR,
    }
)


@dataclass(frozen=True, slots=True)
class Record:
    """`person` is whom its outcome is about."""

    person: str
    key: bytes
    value: bytes | None


@dataclass
class Heard:
    """Errors that are about no record, by code."""

    codes: set[int] = field(default_factory=set)

    def note(self, error: KafkaError) -> None:
        self.codes.add(error.code())

    def fault(self, error: KafkaError) -> ConnectorError:
        """Why the brokers do not answer, of a question that changes nothing."""
        why = next((PAUSING[code] for code in (error.code(), *sorted(self.codes)) if code in PAUSING), None)
        return AuthError(why) if why else TransientError(f"the brokers do not answer: {error.name()}", sent=False)


@dataclass(frozen=True, slots=True)
class Cluster:
    label: str
    brokers: tuple[tuple[str, int], ...]


def cluster(config: KafkaConfig) -> Cluster:
    """What the first broker that answers says of the cluster. Only those in the configuration are spoken to: a client
    that does not write has no reason to go on to the others."""
    heard = Heard()
    with AdminClient(_settings(config, heard)) as client:
        try:
            told = client.list_topics(timeout=ASK_S)
        except KafkaException as error:
            client.poll(0)  # hears the errors that came in meanwhile
            raise heard.fault(error.args[0]) from None
    # Their hosts are None to the library's own types.
    brokers: Collection[Any] = told.brokers.values()
    return Cluster(told.cluster_id or "", tuple((one.host, one.port) for one in brokers))


def kept(config: KafkaConfig, topic: str, records: Sequence[Record], headers: Headers) -> dict[str, Outcome]:
    """Everybody whose record was not kept as it should, or of whom that is not known. Raises AuthError where it is the
    account or the topic, and none was kept."""
    errors = dict[str, KafkaError | None]()
    with Producer(_settings(config, Heard()) | _careful(config)) as producer:
        for record in records:
            _produce(producer, topic, record, headers, errors)
        producer.flush(DELIVER_S)
        # What has no word by now will have none: the client is given up, and what it still holds with it.
        producer.purge()
    _raise_if_hopeless(errors.values())
    return _exceptions(records, errors)


def _produce(
    producer: Producer,
    topic: str,
    record: Record,
    headers: Headers,
    errors: dict[str, KafkaError | None],
) -> None:
    until = time.monotonic() + DELIVER_S
    while True:
        try:
            producer.produce(
                topic,
                record.value,
                record.key,
                headers=headers,
                on_delivery=lambda error, _: errors.__setitem__(record.person, error),
            )
            producer.poll(0)
            return
        except KafkaException as error:
            errors[record.person] = error.args[0]
            return
        except BufferError:
            # The queue is full: wait for words on those before.
            if time.monotonic() > until:
                errors[record.person] = KafkaError(KafkaError._PURGE_QUEUE)
                return
            producer.poll(0.1)


def _raise_if_hopeless(errors: Collection[KafkaError | None]) -> None:
    """Where every record was refused for the same kind of reason. One that timed out may have been kept: then it is the
    next call that finds out about the account."""
    whys = [PAUSING.get(error.code()) if error is not None else None for error in errors]
    if whys and whys[0] and all(whys):
        raise AuthError(whys[0])


def _exceptions(records: Sequence[Record], errors: dict[str, KafkaError | None]) -> dict[str, Outcome]:
    told = {record.person: errors.get(record.person, KafkaError(KafkaError._TIMED_OUT)) for record in records}
    return {person: outcome(error) for person, error in told.items() if error is not None}


def outcome(error: KafkaError) -> Outcome:
    """What that word on one record means for the person in it."""
    if why := REJECTED.get(error.code()):
        return Outcome(OutcomeKind.REJECTED, why)
    kind = OutcomeKind.RETRY if error.code() in AGAIN | PAUSING.keys() else OutcomeKind.UNKNOWN
    return Outcome(kind, f"the broker answered {error.name()}")


def _settings(config: KafkaConfig, heard: Heard) -> dict[str, Any]:
    protocol = ("SASL_" if config.sasl != "none" else "") + ("SSL" if config.security == "tls" else "PLAINTEXT")
    settings: dict[str, Any] = {
        "bootstrap.servers": ",".join(config.bootstrap),
        "client.id": "audience-hub",
        "security.protocol": protocol,
        "error_cb": heard.note,
        # It writes to stderr by itself otherwise; what matters comes as an error.
        "log_level": 0,
    }
    if config.security == "tls":
        settings |= {"ssl.ca.pem": config.ca} if config.ca else {"ssl.ca.location": certifi.where()}
    if config.username and config.password and config.sasl != "none":
        secret = config.password.get_secret_value()
        settings |= {"sasl.mechanism": config.sasl, "sasl.username": config.username, "sasl.password": secret}
    return settings


def _careful(config: KafkaConfig) -> dict[str, Any]:
    """Each record once and in order, acknowledged by all replicas that are in step."""
    return {
        "enable.idempotence": True,
        "acks": "all",
        "message.max.bytes": config.largest_record,
        "message.timeout.ms": int(DELIVER_S * 1000) - 1000,
        # As Kafka's own clients choose the partition, so that others find a person in the same one.
        "partitioner": "murmur2_random",
    }

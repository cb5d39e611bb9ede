"""Messages on their way to the broker, and what its answer to each means for the person in it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mqtt5 import ConnAckPacket, DisconnectPacket, Packet, PubAckPacket, PublishPacket, QoS

from connectors.mqtt.wire import FAULTS, Wire
from hub.sdk import AuthError, Outcome, OutcomeKind, RefusedError, note_effect

DELIVER_S = 30.0
# However many the broker allows: it should never wait for us to hear its answers while we wait for it to hear us.
MOST_UNANSWERED = 1_000

# By the standard's names of the reasons.
KEPT = frozenset({"SUCCESS", "NO_MATCHING_SUBSCRIBERS"})
REJECTED = {
    # What Mosquitto answers to a message beyond its message_size_limit.
    "IMPLEMENTATION_SPECIFIC_ERROR": "the broker will not take the message: it may be too large",
    "TOPIC_NAME_INVALID": "the broker does not take such a topic",
    "PAYLOAD_FORMAT_INVALID": "the broker does not take such a message",
}
# One of the messages made the broker hang up, and it does not say which.
SPOILING = frozenset({"PACKET_TOO_LARGE", "TOPIC_NAME_INVALID", "PAYLOAD_FORMAT_INVALID"})


@dataclass(frozen=True, slots=True)
class Message:
    """`person` is whom its outcome is about. Without a payload, the broker forgets what it has kept of the topic."""

    person: str
    topic: str
    payload: bytes
    about: list[tuple[str, str]]

    def packed(self, number: int) -> bytes:
        """At least once is enough: a topic's last word said twice is the same word."""
        return PublishPacket(
            self.topic,
            self.payload,
            qos=QoS.AT_LEAST_ONCE,
            retain=True,
            packet_id=number,
            payload_format_indicator=1,  # text
            content_type="application/json",
            user_properties=self.about,
        ).write()


class HungUp(ConnectionError):  # noqa: N818 - it reads as what happened
    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"it hung up: {reason}")


class Delivery:
    def __init__(self, packets: Mapping[int, bytes], most_unanswered: int) -> None:
        self._unsaid = deque(packets.items())
        self._unanswered = set[int]()
        self._most = most_unanswered
        self.answers: dict[int, str] = {}

    async def carry_out(self, wire: Wire) -> None:
        while self._unsaid or self._unanswered:
            while self._unsaid and len(self._unanswered) < self._most:
                number, packet = self._unsaid.popleft()
                self._unanswered.add(number)
                await wire.say(packet)
            self._heed(await wire.hear())

    def _heed(self, packet: Packet) -> None:
        if isinstance(packet, DisconnectPacket):
            raise HungUp(packet.reason_code.name)
        if not isinstance(packet, PubAckPacket) or packet.packet_id not in self._unanswered:
            raise ValueError("an answer to nothing")
        self._unanswered.remove(packet.packet_id)
        self.answers[packet.packet_id] = packet.reason_code.name

    @property
    def sent(self) -> int:
        return len(self._unanswered) + len(self.answers)

    def outcome(self, number: int, why: str) -> Outcome | None:
        """None where the message was kept; `why` is what came between, if it did."""
        if answer := self.answers.get(number):
            return outcome(answer)
        if number in self._unanswered:
            return Outcome(OutcomeKind.UNKNOWN, f"the broker did not answer: {why}")
        return Outcome(OutcomeKind.RETRY, f"not sent, since the broker had stopped answering: {why}")


async def kept(wire: Wire, terms: ConnAckPacket, messages: Sequence[Message]) -> dict[str, Outcome]:
    """Everybody whose message was not kept as it should, or of whom that is not known. Raises AuthError where the user
    may publish none of them, RefusedError where one of them made the broker hang up, which may have kept the others."""
    packets, outcomes = _packed(messages, terms.max_packet_size)
    delivery = Delivery(packets, min(terms.receive_max, MOST_UNANSWERED))
    why = await _interrupted(delivery, wire)
    if packets and all(delivery.answers.get(number) == "NOT_AUTHORIZED" for number in packets):
        raise AuthError("the user may not publish to the topics")
    told = {messages[number - 1].person: delivery.outcome(number, why) for number in packets}
    return outcomes | {person: one for person, one in told.items() if one}


async def _interrupted(delivery: Delivery, wire: Wire) -> str:
    """What came between, nothing if all went through."""
    try:
        async with asyncio.timeout(DELIVER_S):
            await delivery.carry_out(wire)
    except HungUp as error:
        if error.reason in SPOILING:
            if delivery.sent > 1:
                note_effect()
            raise RefusedError(f"the broker does not take such a message: {error.reason}", divisible=True) from None
        return str(error)
    except FAULTS as error:
        return type(error).__name__
    return ""


def _packed(messages: Sequence[Message], largest: int | None) -> tuple[dict[int, bytes], dict[str, Outcome]]:
    """By number, from 1, and who does not fit."""
    packets: dict[int, bytes] = {}
    outcomes: dict[str, Outcome] = {}
    for number, message in enumerate(messages, 1):
        try:
            packet = message.packed(number)
        except ValueError:
            outcomes[message.person] = Outcome(OutcomeKind.REJECTED, "the topic would be too long")
            continue
        if largest and len(packet) > largest:
            outcomes[message.person] = Outcome(OutcomeKind.REJECTED, "the message is larger than the broker takes")
            continue
        packets[number] = packet
    return packets, outcomes


def outcome(answer: str) -> Outcome | None:
    """What that answer to one message means for the person in it; None where it was kept."""
    if answer in KEPT:
        return None
    if why := REJECTED.get(answer):
        return Outcome(OutcomeKind.REJECTED, why)
    return Outcome(OutcomeKind.RETRY, f"the broker answered {answer}")

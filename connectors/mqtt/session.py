"""A session with the broker: it lets us in, on terms of its own, and ends once every message has been answered."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from mqtt5 import ConnAckPacket, ConnectPacket, DisconnectPacket, QoS

from connectors.mqtt.config import MqttConfig
from connectors.mqtt.delivery import DELIVER_S, Message, kept
from connectors.mqtt.wire import FAULTS, MOST_HEARD, Wire, dialled_wire
from hub.sdk import AuthError, EgressPolicy, Outcome, TransientError

ANSWER_S = 15.0

# What a person has to do about the account, the broker or the configuration, by the standard's names of the reasons.
PAUSING = {
    "BAD_USER_NAME_OR_PASSWORD": "the broker refuses the user or the password",
    "BAD_AUTHENTICATION_METHOD": "the broker wants another way to log in",
    "NOT_AUTHORIZED": "the broker does not let this user in",
    "BANNED": "the broker has banned this user",
    "CLIENT_ID_NOT_VALID": "the broker does not take such a client id: see client_id",
    "UNSUPPORTED_PROTOCOL_VERSION": "the broker does not speak MQTT 5",
    # The other one may be none that the operator has listed.
    "USE_ANOTHER_SERVER": "the broker sends us to another one: see host",
    "SERVER_MOVED": "the broker has moved: see host",
}


@dataclass(frozen=True, slots=True)
class Session:
    wire: Wire
    terms: ConnAckPacket

    async def kept(self, messages: Sequence[Message]) -> dict[str, Outcome]:
        return await kept(self.wire, self.terms, messages)


@asynccontextmanager
async def session(policy: EgressPolicy, config: MqttConfig) -> AsyncIterator[Session]:
    """Raises the connector's errors where the broker does not let us in; then nothing was sent of anybody."""
    wire = await dialled_wire(policy, config)
    try:
        yield Session(wire, await _admitted(wire, config))
    finally:
        wire.close(DisconnectPacket().write())


async def _admitted(wire: Wire, config: MqttConfig) -> ConnAckPacket:
    try:
        async with asyncio.timeout(ANSWER_S):
            await wire.say(_greeting(config))
            answer = await wire.hear()
    except FAULTS as error:
        raise TransientError(f"{config.at} does not answer in MQTT 5: {type(error).__name__}", sent=False) from None
    if not isinstance(answer, ConnAckPacket):
        raise TransientError(f"{config.at} does not answer in MQTT 5", sent=False)
    _insist_admitted(answer)
    return answer


def _greeting(config: MqttConfig) -> bytes:
    return ConnectPacket(
        f"{config.client_id}{secrets.token_hex(8)}",
        clean_start=True,
        # Over before the broker could miss a sign of life.
        keep_alive=int(DELIVER_S * 2),
        username=config.username,
        password=config.password.get_secret_value().encode() if config.password else None,
        # In its own words it might name people.
        request_problem_info=False,
        max_packet_size=MOST_HEARD,
    ).write()


def _insist_admitted(answer: ConnAckPacket) -> None:
    reason = answer.reason_code.name
    if why := PAUSING.get(reason):
        raise AuthError(why)
    if reason != "SUCCESS":
        raise TransientError(f"the broker answered {reason}", sent=False)
    if not answer.retain_available:
        raise AuthError("the broker keeps no retained messages, so nobody would find out who is in an audience")
    if answer.max_qos == QoS.AT_MOST_ONCE:
        raise AuthError("the broker acknowledges no messages (it takes QoS 0 only)")

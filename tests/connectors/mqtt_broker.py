"""An MQTT 5 broker in this process, as far as whoever publishes can tell: it keeps the last word on each topic. A real
one is in `tests/real`."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

import mqtt5
from mqtt5 import ConnAckPacket, ConnAckReasonCode, ConnectPacket, PubAckPacket, PubAckReasonCode, PublishPacket

from hub.sdk import Audience
from hub.sdk.testing import Vendor

USER, PASSWORD = "hub-kit", "kit-password-0123456789"
Answer = PubAckReasonCode | mqtt5.DisconnectReasonCode | None
"""None hangs up without a word."""


class Broker(Vendor):
    """`terms` is what it tells in its CONNACK; `verdict` its answer to a message, which is kept where it is good."""

    def __init__(self) -> None:
        super().__init__()
        self.retained: dict[str, bytes] = {}
        self.heard: list[PublishPacket] = []
        self.clients: list[ConnectPacket] = []
        self.terms: dict[str, Any] = {}
        self.verdict: Callable[[PublishPacket], Answer] = self._verdict
        self.slow = False
        self.most_at_once = 0

    def config(self, **other: Any) -> dict[str, Any]:
        [at] = self.listens
        host, _, port = at.rpartition(":")
        return {"host": host, "port": int(port), "security": "plaintext", **other}

    def members(self, audience: Audience) -> set[str]:
        told = [json.loads(one) for topic, one in self.retained.items() if topic.split("/")[1] == audience.ref]
        return {one["id"] for one in told if one["member"]}

    def state(self) -> Any:
        return dict(self.retained), dict(self.subscriptions)

    def _verdict(self, packet: PublishPacket) -> Answer:
        refused = unquote(packet.topic.rpartition("/")[2]) in self.refused and packet.payload
        return PubAckReasonCode.IMPLEMENTATION_SPECIFIC_ERROR if refused else PubAckReasonCode.SUCCESS

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        buffer = b""
        try:
            while data := await self._read(reader):
                packets, buffer = _whole(buffer + data)
                self.most_at_once = max(self.most_at_once, sum(isinstance(one, PublishPacket) for one in packets))
                for packet in packets:
                    if not self._answered(packet, writer):
                        return
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        """A slow one finds all that it allows when it gets round to reading."""
        if self.slow:
            await asyncio.sleep(0.01)
        return await reader.read(1_000_000)

    def _answered(self, packet: mqtt5.Packet, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        match packet:
            case ConnectPacket():
                self.clients.append(packet)
                writer.write(ConnAckPacket(**{"reason_code": self._admission(packet), **self.terms}).write())
                return True
            case PublishPacket():
                return self._published(packet, writer)
        return False

    def _admission(self, packet: ConnectPacket) -> ConnAckReasonCode:
        stranger = packet.username is not None and (packet.username, packet.password) != (USER, PASSWORD.encode())
        return ConnAckReasonCode.BAD_USER_NAME_OR_PASSWORD if stranger else ConnAckReasonCode.SUCCESS

    def _published(self, packet: PublishPacket, writer: asyncio.StreamWriter) -> bool:
        self.heard.append(packet)
        answer = self.verdict(packet)
        if not isinstance(answer, PubAckReasonCode):
            writer.write(mqtt5.DisconnectPacket(reason_code=answer).write() if answer is not None else b"")
            return False
        if int(answer) < int(PubAckReasonCode.UNSPECIFIED_ERROR):
            self._keep(packet)
        assert packet.packet_id
        # Words that name the person, as a plugin of the broker's might.
        why = self.refused.get(unquote(packet.topic.rpartition("/")[2]))
        writer.write(PubAckPacket(packet.packet_id, reason_code=answer, reason_str=why).write())
        return True

    def _keep(self, packet: PublishPacket) -> None:
        """Nothing is forgotten without the flag, nor kept."""
        if packet.retain and packet.payload:
            self.retained[packet.topic] = bytes(packet.payload)
        elif packet.retain:
            self.retained.pop(packet.topic, None)


def _whole(buffer: bytes) -> tuple[list[mqtt5.Packet], bytes]:
    packets = []
    while buffer:
        try:
            packet, length = mqtt5.read(memoryview(buffer))
        except IndexError:
            break
        packets.append(packet)
        buffer = buffer[length:]
    return packets, buffer


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Broker]:
    broker = Broker()
    async with await asyncio.start_server(broker.serve, "127.0.0.1", 0, ssl=tls) as server:
        broker.listens = frozenset({f"127.0.0.1:{server.sockets[0].getsockname()[1]}"})
        yield broker
        # So that it finds out by itself who has gone.
        await asyncio.sleep(0.02 if broker.slow else 0)

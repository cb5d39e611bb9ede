"""Whole packets over a connection that the egress policy allows."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import mqtt5

from connectors.mqtt.config import MqttConfig
from hub.sdk import AuthError, EgressPolicy, TransientError, dialled

SECURED_S = 15.0
# An answer to one message has a few bytes; the broker is told to say no more than this at once.
MOST_HEARD = 65_536
FAULTS = (OSError, EOFError, ValueError)
"""What `Wire` raises where the connection breaks, a time-out is over, or what comes is no packet."""


class Wire:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._heard = b""

    async def say(self, packet: bytes) -> None:
        self._writer.write(packet)
        await self._writer.drain()

    async def hear(self) -> mqtt5.Packet:
        while True:
            try:
                packet, length = mqtt5.read(memoryview(_as_documented(self._heard)))
            except IndexError:  # the library's word for a packet whose end has not come yet
                self._heard += await self._more()
            else:
                self._heard = self._heard[length:]
                return packet

    async def _more(self) -> bytes:
        if len(self._heard) > MOST_HEARD:
            raise ValueError("more than one answer may hold")
        if not (more := await self._reader.read(MOST_HEARD)):
            raise EOFError("the broker closed the connection")
        return more

    def close(self, last: bytes = b"") -> None:
        """The last packet goes out if the connection still takes it; nobody waits for that."""
        self._writer.write(last)
        self._writer.close()


def _as_documented(heard: bytes) -> bytes:
    """Mosquitto answers a message beyond its message_size_limit with 149, which the standard does not have in a PUBACK
    and the library refuses to read; its manual says 131, that it will not take the message."""
    refuses = len(heard) > 4 and heard[0] == 0x40 and heard[1] > 2 and heard[4] == 149
    return heard[:4] + bytes([131]) + heard[5:] if refuses else heard


async def dialled_wire(policy: EgressPolicy, config: MqttConfig) -> Wire:
    """Secured as the configuration says. Raises the connector's errors."""
    connection = await dialled(policy, config.host, config.port)
    tls: dict[str, Any] = {"ssl": config.trust(), "server_hostname": config.host} if config.security == "tls" else {}
    try:
        async with asyncio.timeout(SECURED_S):
            return Wire(*await asyncio.open_connection(sock=connection, **tls))
    except BaseException as error:  # a cancel too: nobody else closes the connection
        connection.close()
        if isinstance(error, ssl.SSLCertVerificationError):
            raise AuthError(f"{config.at} shows a certificate that is not trusted: see ca") from None
        if isinstance(error, OSError):  # SSLError and TimeoutError are some too
            raise TransientError(
                f"{config.at} cannot be spoken to in TLS: {type(error).__name__}", sent=False
            ) from None
        raise

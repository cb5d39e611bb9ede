"""Connections for client libraries that do not speak HTTP: dialled only where the egress policy allows."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address

from hub.sdk.egress import EgressPolicy
from hub.sdk.errors import TransientError

CONNECT_S = 10.0


async def dialled(policy: EgressPolicy, host: str, port: int) -> socket.socket:
    """A connection to hand to the library, whose caller closes it. Raises EgressDenied, or TransientError with
    `sent=False` where nobody answers."""
    host = policy.check_host(host, port)
    try:
        return await connected(policy, host, port)
    except OSError:
        raise TransientError(f"{host}:{port} cannot be reached", sent=False) from None


async def connected(policy: EgressPolicy, host: str, port: int) -> socket.socket:
    """A connection to the first address that answers, of a host whose port the operator has chosen. Raises
    EgressDenied, or what the last address said: an OSError, of which TimeoutError is one."""
    failure = OSError("no address")
    for address in await policy.addresses(host, port):
        try:
            async with asyncio.timeout(CONNECT_S):
                return await _connected_to(address, port)
        except OSError as error:
            failure = error
    raise failure


async def _connected_to(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    # Said outright to be TCP, asyncio sends at once what is written; else it waits for answers to what went before.
    connection = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connection, (address, port))
    except BaseException:  # a cancel too: nobody else knows of the connection yet
        connection.close()
        raise
    return connection

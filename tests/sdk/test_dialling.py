"""Connections for libraries that do not speak HTTP keep to the one egress policy."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import pytest

from hub.sdk import EgressDenied, EgressPolicy, TransientError, dialled


async def _nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize(
    ("host", "port", "why"),
    [
        ("sftp.example.com", 22, "port 22 may not be reached"),
        ("10.0.0.1", 443, "private address"),
        ("localhost", 443, "local name"),
        ("0x7f000001", 443, "plainly written"),
        ("::1", 443, "private address"),
        ("sftp.example.com.", 443, "not a plain name"),
    ],
)
async def test_only_443_of_public_hosts_unless_the_operator_lists_it(host: str, port: int, why: str) -> None:
    with pytest.raises(EgressDenied, match=why):
        await dialled(EgressPolicy(frozenset({"sftp.example.com:2222"})), host, port)


async def test_a_public_name_that_leads_inside_is_denied() -> None:
    async def inside(_: str, __: int) -> Sequence[str]:
        return ["93.184.215.14", "127.0.0.1"]

    with pytest.raises(EgressDenied, match="leads to a private address"):
        await dialled(EgressPolicy(resolve=inside), "sftp.example.com", 443)


async def test_a_listed_host_is_dialled_at_the_first_address_that_answers() -> None:
    async with await asyncio.start_server(_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]

        async def found(_: str, __: int) -> Sequence[str]:
            return ["::1", "127.0.0.1"]

        connection = await dialled(
            EgressPolicy(frozenset({f"sftp.example.com:{port}"}), found), "SFTP.example.com", port
        )
        with connection:
            assert connection.getpeername() == ("127.0.0.1", port) and connection.getblocking() is False


async def test_where_nobody_answers_nothing_was_sent() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        with pytest.raises(TransientError) as error:
            await dialled(EgressPolicy(frozenset({f"127.0.0.1:{port}"})), "127.0.0.1", port)
    assert not error.value.sent and error.value.reason == f"127.0.0.1:{port} cannot be reached"


async def test_asyncio_sends_at_once_what_is_written_to_it() -> None:
    async with await asyncio.start_server(_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = await dialled(EgressPolicy(frozenset({f"127.0.0.1:{port}"})), "127.0.0.1", port)
        _, writer = await asyncio.open_connection(sock=connection)
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()

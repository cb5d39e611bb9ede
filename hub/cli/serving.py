"""Commands that are a hub: serving, working, upgrading, and the admin's token."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hub.cli.remote import Address, leave_behind
from hub.errors import ErrorCode, refuse
from hub.logs import configure_logs
from hub.settings import Settings, read_settings

DRAIN_S = 10


def serve(host: str, port: int) -> None:
    """Serve until a signal; leaves `server.json` behind meanwhile. Token and address go to standard output, logs to
    standard error."""
    settings = read_settings()
    configure_logs(settings.log_level)
    with _listening(host, port) as listener:
        asyncio.run(_serve(settings, host, listener))


async def _serve(settings: Settings, host: str, listener: socket.socket) -> None:
    from hub.services.access import prepare
    from hub.services.hub import open_hub
    from hub.services.upgrade import make_if_new
    from hub.services.worker import Worker
    from hub.web.app import create_app

    await make_if_new(settings)
    async with open_hub(settings) as hub:
        _show_once(await prepare(hub))
        address = Address(_url(host, listener), secrets.token_urlsafe(32))
        server = _server(create_app(hub, Worker(hub), local_token=address.token))
        _stop_at_signals(server)
        left = leave_behind(settings, address)
        try:
            print(f"The hub is at {address.url} (GraphiQL: {address.url}/graphql)", flush=True)
            await server.serve(sockets=[listener])
        finally:
            left.unlink(missing_ok=True)


def _server(app: Any) -> Any:
    import uvicorn

    from hub.web.body import LARGEST_QUERY

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        ws="websockets-sansio",
        ws_max_size=LARGEST_QUERY,
        timeout_graceful_shutdown=DRAIN_S,
    )
    return uvicorn.Server(config)


def _stop_at_signals(server: Any) -> None:
    # Once it has ended, uvicorn raises the signal that ended it again: with the usual handlers that would end this
    # process before it has closed its stores.
    def stop(*_: object) -> None:
        server.should_exit = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def work() -> None:
    """Carry out runs until a signal."""
    settings = read_settings()
    configure_logs(settings.log_level)
    asyncio.run(_work(settings))


async def _work(settings: Settings) -> None:
    from hub.services.hub import open_hub
    from hub.services.worker import Worker

    async with open_hub(settings) as hub:
        worker = Worker(hub)
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, worker.stop)
        await worker.run()


def migrate() -> None:
    """Upgrade both stores, and name what was done."""
    from hub.services.upgrade import upgrade

    applied = asyncio.run(upgrade(read_settings()))
    print("\n".join(f"applied {name}" for name in applied) or "Both stores are at the newest schema.")


def rotate_token() -> None:
    """Print the new token, once. It is rotated in the stores themselves, which HUB_URL does not name."""
    if os.environ.get("HUB_URL"):
        message = "A token is rotated beside its stores: unset HUB_URL, and run this where the hub runs."
        raise refuse(ErrorCode.UNSUPPORTED, message, "HUB_URL")
    print(asyncio.run(_rotate(read_settings())))


async def _rotate(settings: Settings) -> str:
    from hub.services.access import rotate_stored_token

    return await rotate_stored_token(settings)


def _show_once(token: str | None) -> None:
    if token is not None:
        print(f"The admin token, shown this once: {token}", flush=True)


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    # Bound before the stores are opened, so that a taken port is refused at once and port 0 is known by its number.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.closing(socket.socket(family)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except (OSError, OverflowError):
            message = f"Port {port} at {host} is taken or may not be used: choose another with --port."
            raise refuse(ErrorCode.CONFLICT, message, "--port") from None
        yield listener


def _url(host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    reached = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{reached}:{port}"

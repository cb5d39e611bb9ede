"""Asking the stores themselves, where no hub runs: the hub is opened in this process for as long as it takes."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

from hub.cli.remote import Report, content_of
from hub.errors import ErrorCode, refuse
from hub.services.hub import Hub, open_hub
from hub.services.upgrade import make_if_new
from hub.settings import Settings


class Direct:
    """A hub of this process's own; with `working`, its worker carries out runs while we wait."""

    def __init__(self, settings: Settings, *, working: bool = False) -> None:
        self._settings, self._working = settings, working
        self._runner = asyncio.Runner()
        self._opened = AsyncExitStack()

    def __enter__(self) -> Direct:
        try:
            self._hub = self._runner.run(self._open())
        except BaseException:  # a cancel too: what is open by then is closed
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._runner.run(self._opened.aclose())
        finally:
            self._runner.close()

    async def _open(self) -> Hub:
        await make_if_new(self._settings)
        hub = await self._opened.enter_async_context(open_hub(self._settings))
        if self._working:
            from hub.services.worker import Worker
            from hub.web.app import Shift

            await self._opened.enter_async_context(Shift(Worker(hub)).lasting())
        return hub

    def graphql(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError

        from hub.api.context import Context
        from hub.api.schema import schema
        from hub.web.graphql import BY_POST

        asked = schema.execute(
            query, dict(variables or {}), context_value=Context(self._hub), allowed_operation_types=BY_POST
        )
        try:
            result = self._runner.run(asked)
        except (InvalidOperationTypeError, CannotGetOperationTypeError):
            message = "Write a query or a mutation: a subscription needs a running hub and a websocket to it."
            raise refuse(ErrorCode.UNSUPPORTED, message, "GRAPHQL") from None
        errors = [error.formatted for error in result.errors or ()]
        return {"data": result.data, **({"errors": errors} if errors else {})}

    def import_file(
        self, kind: str, path: Path, *, mapping: list[str], snapshot: bool, approve: bool, report: Report
    ) -> dict[str, Any]:
        from hub.services.intake import import_file
        from hub.web.intake import mapping as read_mapping
        from hub.web.intake import shown

        content_type, packed = content_of(path)
        size = path.stat().st_size
        with _unpacked(path, self._settings.data) if packed else _as_it_is(path) as plain:
            taken_in = import_file(
                self._hub,
                kind,
                plain,
                content_type=content_type,
                mapping=read_mapping(mapping),
                snapshot=snapshot,
                approve=approve,
                progress=lambda _, done: report(done, size),
            )
            return shown(self._runner.run(taken_in))

    def wait(self, seconds: float) -> None:
        self._runner.run(asyncio.sleep(seconds))


@contextmanager
def _as_it_is(path: Path) -> Iterator[Path]:
    yield path


@contextmanager
def _unpacked(path: Path, directory: Path) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile(prefix="incoming-", suffix=Path(path.stem).suffix, dir=directory) as plain:
        try:
            with gzip.open(path) as packed:
                shutil.copyfileobj(packed, plain)
        except EOFError:
            raise refuse(ErrorCode.INVALID, "The gzip file breaks off before its end.", "FILE") from None
        except (gzip.BadGzipFile, zlib.error):
            message = "The file's name says that it is gzip, but it cannot be unpacked."
            raise refuse(ErrorCode.INVALID, message, "FILE") from None
        plain.flush()
        yield Path(plain.name)

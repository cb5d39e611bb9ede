"""`POST /import/{kind}`: the body is a file, the answer says how many of its rows went in and which did not."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from hub.core.imports import CONTENT_TYPES, ImportKind, ImportReport
from hub.errors import ErrorCode, HubError, refuse
from hub.services import intake
from hub.services.hub import Hub
from hub.web.answers import Json, refusal, refused
from hub.web.body import to_file

KINDS: Final = tuple(kind.value for kind in ImportKind)


class Intake:
    """Answers POST /import/{kind}."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def answer(self, request: Request) -> Response:
        kind = request.path_params["kind"]
        if kind not in KINDS:
            return refusal(404, "NOT_FOUND", f"Import one of {', '.join(KINDS)}.")
        try:
            return Json(shown(await self._take_in(request, kind)))
        except HubError as error:
            return refused(error)

    async def _take_in(self, request: Request, kind: str) -> ImportReport:
        content_type = _content_type(request)
        snapshot, approve = _said(request, "snapshot"), _said(request, "approve")
        renamed = mapping(request.query_params.getlist("map"))
        with _file_in(self._hub.settings.data, f".{CONTENT_TYPES[content_type]}") as path:
            await to_file(request, path)
            return await intake.import_file(
                self._hub,
                kind,
                path,
                content_type=content_type,
                mapping=renamed,
                snapshot=snapshot,
                approve=approve,
            )


def shown(report: ImportReport) -> dict[str, Any]:
    """An import's report as it is answered."""
    listed = [
        {"line": one.line, "column": one.column, "code": one.code, "reason": one.reason} for one in report.rejections
    ]
    counts = {"accepted": report.accepted, "unchanged": report.unchanged, "rejected": report.rejected}
    return {**counts, "removed": report.removed, "rejections": listed, "truncated": report.truncated}


def mapping(pairs: list[str]) -> dict[str, str]:
    """What `map=column=name`, given any number of times, says: from a column of the file to the hub's name for it."""
    renamed: dict[str, str] = {}
    for pair in pairs:
        column, separator, name = pair.rpartition("=")
        if not separator or not column or not name:
            raise refuse(ErrorCode.INVALID, f"“{pair}” does not map a column: write column=name.", "map")
        if renamed.setdefault(column, name) != name:
            raise refuse(ErrorCode.INVALID, f"The column “{column}” is mapped to two names: one is enough.", "map")
    return renamed


def _content_type(request: Request) -> str:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in CONTENT_TYPES:
        known = "text/csv, application/x-ndjson or application/vnd.apache.parquet"
        raise refuse(ErrorCode.UNSUPPORTED, f"Content-Type must be {known}.", "Content-Type")
    return given


def _said(request: Request, name: str) -> bool:
    value = request.query_params.get(name, "false").lower()
    if value not in {"true", "false"}:
        raise refuse(ErrorCode.INVALID, f"`{name}` is true or false.", name)
    return value == "true"


@contextmanager
def _file_in(directory: Path, suffix: str) -> Iterator[Path]:
    """A file that only this process's user can read, gone afterwards."""
    descriptor, name = tempfile.mkstemp(prefix="incoming-", suffix=suffix, dir=directory)
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)

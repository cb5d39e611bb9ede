"""Finding the hub to talk to, and talking to it: one that runs somewhere, else the stores themselves.

A running hub leaves its address and a token in `server.json` of its data folder, for its own user's eyes only.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol, TypeVar
from urllib.parse import SplitResult, urlencode, urlsplit

from hub.core.imports import CONTENT_TYPES, SUFFIXES
from hub.errors import ErrorCode, HubError, Problem, refuse
from hub.settings import Settings

LEFT_BEHIND = "server.json"
PATIENCE_S = 600
CHUNK = 1 << 20

Report = Callable[[int, int], None]
Heard = TypeVar("Heard")


class Asked(Protocol):
    """A hub that can be asked."""

    def graphql(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The whole answer: `data` and, where something went wrong, `errors`."""

    def import_file(
        self, kind: str, path: Path, *, mapping: list[str], snapshot: bool, approve: bool, report: Report
    ) -> dict[str, Any]:
        """The counts of an import; `report` hears how much of the file is behind us."""

    def wait(self, seconds: float) -> None:
        """Let the hub work."""


@dataclass(frozen=True, slots=True)
class Address:
    url: str
    token: str


def running(settings: Settings) -> Address | None:
    """The hub that HUB_URL and HUB_TOKEN name, or the one that left its address in the data folder and still lives."""
    if url := os.environ.get("HUB_URL"):
        token = os.environ.get("HUB_TOKEN") or os.environ.get("HUB_ADMIN_TOKEN")
        if not token:
            raise refuse(
                ErrorCode.INVALID, "HUB_URL is set, and HUB_TOKEN is not: set it to the admin's token.", "HUB_TOKEN"
            )
        return Address(url, token)
    try:
        left = json.loads((settings.data / LEFT_BEHIND).read_text(encoding="utf-8"))
        return Address(left["url"], left["token"]) if _lives(int(left["pid"])) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def leave_behind(settings: Settings, address: Address) -> Path:
    """Write `server.json`, readable by this user only. Whoever looks for it finds all of it or nothing."""
    path = settings.data / f"{LEFT_BEHIND}.new"
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"url": address.url, "token": address.token, "pid": os.getpid()}, file)
    return path.replace(settings.data / LEFT_BEHIND)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Remote:
    """A hub that runs, asked over HTTP."""

    def __init__(self, address: Address) -> None:
        self._parts = urlsplit(address.url)
        self._token = address.token
        if self._parts.scheme not in {"http", "https"} or not self._parts.hostname or not _has_port(self._parts):
            message = "HUB_URL must begin with http:// or https:// and name a host, and a port up to 65535 if any."
            raise refuse(ErrorCode.INVALID, message, "HUB_URL")
        if not self._token.isprintable():
            raise refuse(ErrorCode.INVALID, "HUB_TOKEN must be one line of plain characters.", "HUB_TOKEN")

    def graphql(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": dict(variables or {})}).encode()
        return self._ask("/graphql", body, {"Content-Type": "application/json"})

    def import_file(
        self, kind: str, path: Path, *, mapping: list[str], snapshot: bool, approve: bool, report: Report
    ) -> dict[str, Any]:
        content_type, packed = content_of(path)
        options = [("map", pair) for pair in mapping]
        options += [(name, "true") for name, said in (("snapshot", snapshot), ("approve", approve)) if said]
        headers = {"Content-Type": content_type, "Content-Length": str(path.stat().st_size)}
        if packed:
            headers["Content-Encoding"] = "gzip"
        with path.open("rb") as file:
            parts = _reported(file, path.stat().st_size, report)
            return self._ask(f"/import/{kind}?{urlencode(options)}", parts, headers)

    def download(self, path: str, target: BinaryIO, report: Report) -> None:
        """Write all that the hub sends into `target`."""
        with self._answer(path, None, {}) as answer:
            if answer.status >= 400:
                _understood(answer.status, answer.read())
            size = int(answer.getheader("Content-Length", "0"))
            while part := self._heard(partial(answer.read, CHUNK)):
                target.write(part)
                report(target.tell(), size)
            # A part that is asked for by its size comes short without a word when the connection ends.
            if target.tell() < size:
                raise refuse(ErrorCode.INVALID, "What the hub sent broke off before its end: try again.", "HUB_URL")

    def wait(self, seconds: float) -> None:
        import time

        time.sleep(seconds)

    def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        return {**more, "Authorization": f"Bearer {self._token}", "Accept": "application/json"}

    def _ask(self, path: str, body: bytes | Iterator[bytes], headers: dict[str, str]) -> dict[str, Any]:
        with self._answer(path, body, headers) as answer:
            return _understood(answer.status, self._heard(answer.read))

    @contextmanager
    def _answer(
        self, path: str, body: bytes | Iterator[bytes] | None, headers: Mapping[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        secure = self._parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        with closing(kind(self._parts.hostname or "", self._parts.port, timeout=PATIENCE_S)) as connection:
            asked = partial(
                connection.request, "POST", self._parts.path.rstrip("/") + path, body, self._headers(headers)
            )
            self._heard(asked)
            yield self._heard(connection.getresponse)

    def _heard(self, asking: Callable[[], Heard]) -> Heard:
        try:
            return asking()
        except (OSError, http.client.HTTPException):
            message = f"No hub answers at {self._parts.netloc}: start one with `hub serve`, or set HUB_URL."
            raise refuse(ErrorCode.NOT_FOUND, message, "HUB_URL") from None


def _has_port(parts: SplitResult) -> bool:
    """Whether what stands after the host, if anything, is a port."""
    try:
        return parts.port != 0
    except ValueError:
        return False


def content_of(path: Path) -> tuple[str, bool]:
    """The content type by the file's ending, and whether it is packed by gzip."""
    packed = path.suffix.lower() == ".gz"
    suffix = (Path(path.stem) if packed else path).suffix.lower()
    if suffix not in SUFFIXES:
        raise refuse(
            ErrorCode.UNSUPPORTED, f"The file's name must end in {', '.join(SUFFIXES)}, or that and .gz.", "FILE"
        )
    return next(known for known, form in CONTENT_TYPES.items() if form is SUFFIXES[suffix]), packed


def _reported(file: IO[bytes], size: int, report: Report) -> Iterator[bytes]:
    done = 0
    while part := file.read(CHUNK):
        yield part
        done += len(part)
        report(done, size)


def _understood(status: int, body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        raise refuse(ErrorCode.INVALID, f"What answers there is no hub (status {status}).", "HUB_URL") from None
    if status >= 400:
        raise HubError(*(problem_of(error) for error in answer.get("errors", [])))
    return dict(answer)


def problem_of(error: Mapping[str, Any]) -> Problem:
    """A problem as any surface of the hub shows it."""
    more = {**error.get("extensions", {}), **{name: value for name, value in error.items() if value}}
    code = more.get("code", "INVALID")
    return Problem(
        ErrorCode(code) if code in ErrorCode.__members__ else ErrorCode.INVALID,
        str(more.get("message", "The hub refused without a reason.")),
        tuple(str(part) for part in more.get("path") or ()),
        more.get("line"),
        more.get("column"),
        more.get("suggestion"),
    )

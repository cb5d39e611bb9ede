"""moto, a server that answers as S3 does, with one bucket."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import httpx

from tests.postgres_server import free_port
from tests.real.servers import CannotBeHad, answers_200, running

BUCKET = "real-bucket"
PAGE = 20


@dataclass(frozen=True)
class RealS3:
    url: str

    def asked(self, method: str, path: str) -> httpx.Response:
        """Of the bucket, by anybody: moto believes whoever signs."""
        signed = {"authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request"}
        answer = httpx.request(method, f"{self.url}/{BUCKET}{path}", headers=signed, timeout=60, trust_env=False)
        assert answer.is_success, answer.text
        return answer


@contextmanager
def s3(folder: Path) -> Iterator[RealS3]:
    if missing := [name for name in ("moto", "flask", "flask_cors") if find_spec(name) is None]:
        raise CannotBeHad(f"not installed: {', '.join(missing)}")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    pages = {"MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE)}
    with running(command, answers_200(f"{url}/moto-api/"), folder / "log", **pages):
        server = RealS3(url)
        server.asked("PUT", "")
        yield server

"""The bulk endpoints of Acme Mail, against a fake that carries a job out when it is asked after for the second time."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import httpx
from acme_bulk import AcmeBulk
from test_acme_audiences import FakeAcme

from hub.sdk.testing import HttpConnectorContract


class FakeBulk(FakeAcme):
    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, tuple[str, bytes]] = {}
        self.answers: dict[str, dict[str, object]] = {}
        self.asked: Counter[str] = Counter()

    def answer(self, request: httpx.Request) -> httpx.Response:
        if "/bulk-" in request.url.path:
            job = f"job-{len(self.jobs) + 1}"
            self.jobs[job] = str(request.url).replace("/bulk-", "/"), request.content
            return httpx.Response(202, json={"job": job})
        if "/jobs/" in request.url.path:
            return httpx.Response(200, json=self._progress(request.url.path.rpartition("/")[2]))
        return super().answer(request)

    def _progress(self, job: str) -> dict[str, object]:
        self.asked[job] += 1
        if self.asked[job] == 1:
            return {"status": "running"}
        if job not in self.answers:
            address, content = self.jobs[job]
            carried_out = super().answer(httpx.Request("POST", address, content=content))
            self.answers[job] = {"status": "done", **carried_out.json()}
        return self.answers[job]


class TestAcmeBulk(HttpConnectorContract):
    connector = AcmeBulk
    config: ClassVar = {"token": "acme-token-1234"}
    fields: ClassVar = {"first_name": "Annabella"}

    def make_vendor(self) -> FakeBulk:
        return FakeBulk()

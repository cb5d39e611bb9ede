"""Acme Mail by its bulk endpoints, which answer with a job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal
from urllib.parse import quote

from acme_audiences import Acme, Refused
from pydantic import BaseModel

from hub.sdk import Audience, Outcome, OutcomeKind, Person, Result


# [jobs]
class Submitted(BaseModel):
    job: str


class Progress(BaseModel):
    status: Literal["running", "done", "failed"]
    refused: list[Refused] = []


class AcmeBulk(Acme):
    key = "acme_bulk"
    title = "Acme Mail, in bulk"
    capabilities = replace(Acme.capabilities, batch=10_000, jobs=True, job_deadline_s=7200)

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        rows = [{"email": person.key, **person.fields} for person in people]
        answer = await self._call("POST", f"/lists/{audience.ref}/bulk-add", {"people": rows})
        return Result(job=answer.parse(Submitted).job)

    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        emails = [person.key for person in people]
        answer = await self._call("POST", f"/lists/{audience.ref}/bulk-remove", {"emails": emails})
        return Result(job=answer.parse(Submitted).job)

    async def poll(self, audience: Audience, job: str, keys: Sequence[str]) -> Result:
        progress = (await self._call("GET", f"/lists/{audience.ref}/jobs/{quote(job, safe='')}")).parse(Progress)
        if progress.status == "running":
            return Result(job=job)
        if progress.status == "failed":
            return Result({key: Outcome(OutcomeKind.RETRY, "Acme's job failed") for key in keys})
        refused = {one.email for one in progress.refused} & set(keys)
        return Result(dict.fromkeys(refused, Outcome(OutcomeKind.REJECTED, "Acme refused the address")))


# [/jobs]

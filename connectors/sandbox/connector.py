"""The calls to a pretend vendor, which fail as its script says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from hub.sdk import (
    Account,
    Audience,
    AuthError,
    Batch,
    Capabilities,
    Channel,
    Connector,
    ListedAs,
    Outcome,
    OutcomeKind,
    Page,
    Person,
    RefusedError,
    Result,
    TransientError,
)

from .account import PretendAccount, pretend_account
from .config import SandboxConfig, ScriptedFailure, ScriptedJobs

APPLIED_ALL_THE_SAME = {"unknown", "timeout_after_apply"}


class Sandbox(Connector[SandboxConfig]):
    key = "sandbox"
    title = "Sandbox"
    channel = Channel.GENERIC
    capabilities = Capabilities(read_back=True, counts=True, erase=True, replace=False, jobs=True, in_flight_s=5.0)
    Config = SandboxConfig

    def limits(self) -> Capabilities:
        config = self.config
        known = replace(self.capabilities, key=config.identifier, replace=config.replace)
        if config.jobs:
            known = replace(known, job_deadline_s=config.jobs.deadline_s)
        known = replace(known, jobs=config.jobs is not None)
        lists = config.listing not in {"count", "nothing"}
        names = ListedAs(config.listing) if lists else ListedAs.KEY
        known = replace(known, read_back=lists, counts=config.listing != "nothing", listed_as=names)
        return replace(known, batch=config.batch, concurrency=config.concurrency)

    @property
    def account(self) -> PretendAccount:
        file = self.config.state_file
        return pretend_account(self.config.account, self.workspace.path(file) if file else None)

    async def check(self) -> Account:
        self._refuse_if_locked()
        return Account(f"pretend account {self.config.account}")

    async def ensure_audience(self, name: str) -> Audience:
        self._refuse_if_locked()
        self.account.audiences.setdefault(name, {})
        return Audience(name, ref=name)

    async def begin(self, audience: Audience, run: str, *, snapshot: bool) -> None:
        if snapshot:
            self.account.snapshots.setdefault((audience.ref, run), {})

    async def finish(self, audience: Audience, run: str) -> None:
        self._refuse_if_locked()
        gathered = self.account.snapshots.pop((audience.ref, run), None)
        if gathered is not None:
            self.account.audiences[audience.ref] = gathered

    async def apply(self, audience: Audience, batch: Batch) -> Result:
        number, failure = await self._begin_call()
        refused = {person.key: why for person in batch.add if (why := self._refusal(person))}
        job = f"job-{number}" if self.config.jobs and failure is None and len(batch) else None
        applied = job is None and (failure is None or failure.kind in APPLIED_ALL_THE_SAME)
        call = {
            "call": number,
            "run": batch.run,
            "audience": audience.ref,
            "applied": applied,
            "add": {person.key: dict(person.fields) for person in batch.add if person.key not in refused},
            "remove": [person.key for person in batch.remove],
        }
        self.account.record(
            {**call, "job": job, "refused": {key: list(one) for key, one in refused.items()}} if job else call
        )
        if failure is not None and failure.kind != "unknown":
            raise _error(failure)
        if job:
            return Result(job=job)
        outcomes = {key: Outcome(*why) for key, why in refused.items()}
        return Result(outcomes, OutcomeKind.UNKNOWN if failure else OutcomeKind.ACCEPTED)

    async def poll(self, audience: Audience, job: str, keys: Sequence[str]) -> Result:
        script, known = self.config.jobs or ScriptedJobs(), self.account.jobs.get(job)
        self._refuse_if_locked()
        if known is None or known.call["audience"] != audience.ref:
            raise RefusedError("the pretend account has no such job")
        known.asked += 1
        if known.asked <= script.faults:
            raise TransientError("fault by the script")
        asked = known.asked - script.faults
        if script.ends == "never" or asked <= script.running:
            return Result(job=job)
        if script.ends == "failed" or (script.ends == "done_then_failed" and asked > script.running + 1):
            return Result({key: Outcome(OutcomeKind.RETRY, "failed by the script") for key in keys})
        if script.ends == "done" and not known.done:
            self.account.record({**known.call, "applied": True})
        return Result({key: Outcome(OutcomeKind(kind), why) for key, (kind, why) in known.call["refused"].items()})

    async def members_page(self, audience: Audience, cursor: str | None = None) -> Page:
        """In the order of the keys: whoever comes or goes meanwhile moves nobody else to another page."""
        await self._take_its_time()
        self._refuse_if_locked()
        held = sorted(key for key in self.account.members(audience.ref) if cursor is None or key > cursor)
        some, names = held[: self.config.page], self.limits().listed_as
        following = some[-1] if len(held) > len(some) else None
        return Page([names.called(key) for key in some], following, len(self.account.members(audience.ref)))

    async def count(self, audience: Audience) -> int:
        self._refuse_if_locked()
        return len(self.account.members(audience.ref))

    async def erase(self, people: Sequence[Person]) -> Result:
        number, failure = await self._begin_call()
        applied = failure is None or failure.kind in APPLIED_ALL_THE_SAME
        self.account.record({"call": number, "applied": applied, "erase": [person.key for person in people]})
        if failure is not None and failure.kind != "unknown":
            raise _error(failure)
        return Result(rest=OutcomeKind.UNKNOWN if failure else OutcomeKind.ACCEPTED)

    def _refusal(self, person: Person) -> tuple[OutcomeKind, str] | None:
        names = {person.id, person.key}
        if names & set(self.config.suppress):
            return OutcomeKind.SUPPRESSED, "on the block list"
        return (OutcomeKind.REJECTED, "refused by the script") if names & set(self.config.reject) else None

    async def _begin_call(self) -> tuple[int, ScriptedFailure | None]:
        number = self.account.next_call()
        await self._take_its_time()
        self._refuse_if_locked()
        return number, next((scripted for scripted in self.config.failures if scripted.call == number), None)

    async def _take_its_time(self) -> None:
        if self.config.latency_ms:
            await asyncio.sleep(self.config.latency_ms / 1000)

    def _refuse_if_locked(self) -> None:
        if self.config.locked:
            raise AuthError("the pretend account is locked")


def _error(failure: ScriptedFailure) -> Exception:
    match failure.kind:
        case "throttle":
            return TransientError("throttled by the script", failure.retry_after)
        case "unreachable":
            return TransientError("unreachable by the script", sent=False)
        case "auth":
            return AuthError("account refused by the script")
        case "refused":
            return RefusedError("batch refused by the script", divisible=True)
    return TransientError(f"{failure.kind} by the script")

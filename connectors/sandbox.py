"""A pretend vendor in memory: it fails when told to and shows what it holds. For the demo, for tests, for trying out.

from connectors.sandbox import pretend_account
pretend_account("shop").members("vip")
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from hub.sdk import (
    Account,
    Audience,
    AuthError,
    Batch,
    Capabilities,
    Channel,
    Connector,
    ConnectorConfig,
    ListedAs,
    Outcome,
    OutcomeKind,
    Page,
    Person,
    RefusedError,
    Result,
    TransientError,
    hookimpl,
)

REMEMBERED = 1000


class ScriptedFailure(ConnectorConfig):
    """What goes wrong in one call."""

    call: int = Field(ge=1, description="Which call to the vendor fails, counted from 1 over the account's life.")
    kind: Literal["throttle", "transient", "unreachable", "auth", "refused", "unknown", "timeout_after_apply"] = Field(
        description="How it fails; after timeout_after_apply and unknown the change has been made all the same."
    )
    retry_after: float | None = Field(None, ge=0, description="Seconds that a throttle asks to wait.")


class ScriptedJobs(ConnectorConfig):
    """How the jobs go with which calls are answered."""

    faults: int = Field(0, ge=0, description="How many questions after a job are answered with a fault, at first.")
    running: int = Field(1, ge=0, description="How many questions then find it still running.")
    ends: Literal["done", "failed", "done_then_failed", "never"] = Field(
        "done", description="What becomes of it; done_then_failed is told as done once, and nobody is in."
    )
    deadline_s: float = Field(60.0, gt=0, description="Seconds after which nobody asks any more.")


class SandboxConfig(ConnectorConfig):
    account: str = Field("sandbox", min_length=1, description="The pretend account; who names the same one shares it.")
    identifier: Literal["external_id", "email", "phone", "device_id", "ad_id", "push_token", "user_id"] = Field(
        "external_id", description="What names a person at this pretend vendor."
    )
    reject: tuple[str, ...] = Field((), description="Ids or identifiers that are refused whenever they are added.")
    suppress: tuple[str, ...] = Field((), description="Ids or identifiers that the vendor has on its block list.")
    failures: tuple[ScriptedFailure, ...] = Field((), description="Calls that fail, and how.")
    jobs: ScriptedJobs | None = Field(None, description="Whether calls are answered with jobs to ask after, and how.")
    locked: bool = Field(False, description="Whether every call is refused as if the password were wrong.")
    latency_ms: int = Field(0, ge=0, le=60_000, description="Milliseconds that every call takes.")
    batch: int = Field(1000, ge=1, le=100_000, description="The most people in one call.")
    concurrency: int = Field(4, ge=1, le=8, description="Calls in flight at a time.")
    listing: Literal["key", "md5", "sha256", "count", "nothing"] = Field(
        "key", description="How it says who is in an audience: by the keys, by their hashes, only how many, or not."
    )
    page: int = Field(1000, ge=1, le=100_000, description="The most members on one page of that list.")
    replace: bool = Field(
        False, description="Whether it can swap: a run of mode REPLACE then takes the place of the audience at its end."
    )
    state_file: str | None = Field(
        None, description="File below the hub's own folder that keeps every call, one JSON object a line."
    )


@dataclass(slots=True)
class PretendJob:
    """A call that is carried out when its job is done. `asked` counts the questions of this process."""

    call: dict[str, Any]
    asked: int = 0
    done: bool = False


@dataclass(slots=True)
class PretendAccount:
    """What the vendor holds: audience → person → fields, and the latest calls it has seen; the journal has them all.
    `snapshots` are gathered by audience and run until they are swapped in."""

    audiences: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    snapshots: dict[tuple[str, str], dict[str, dict[str, Any]]] = field(default_factory=dict)
    calls: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    started: int = 0
    journal: Path | None = None
    jobs: dict[str, PretendJob] = field(default_factory=dict)

    def members(self, audience: str) -> set[str]:
        return set(self.audiences.get(audience, ()))

    def next_call(self) -> int:
        self.started += 1
        return self.started

    def record(self, call: dict[str, Any]) -> None:
        """Note a call in memory and, before it counts as answered, in the journal."""
        self.carry_out(call)
        if self.journal is not None:
            with self.journal.open("ab") as journal:
                journal.write(json.dumps(call, separators=(",", ":")).encode() + b"\n")

    def carry_out(self, call: dict[str, Any]) -> None:
        self.calls.append(call)
        if job := call.get("job"):
            self.jobs.setdefault(job, PretendJob(call)).done = call["applied"]
        if call["applied"]:
            gathered = self.snapshots.get((call["audience"], call["run"]))
            held = self.audiences.setdefault(call["audience"], {}) if gathered is None else gathered
            held.update(call["add"])
            for key in call["remove"]:
                held.pop(key, None)

    def replay(self, journal: Path) -> None:
        """Take up where an earlier process stopped, leaving out a line that its death cut short."""
        self.journal = journal
        journal.parent.mkdir(parents=True, exist_ok=True)
        kept = journal.read_bytes() if journal.exists() else b""
        whole = kept[: kept.rfind(b"\n") + 1]
        if whole != kept:
            journal.write_bytes(whole)
        for line in whole.splitlines():
            self.carry_out(json.loads(line))
        self.started = max((call["call"] for call in self.calls), default=0)


_accounts: dict[tuple[str, str], PretendAccount] = {}


def pretend_account(name: str, state_file: Path | None = None) -> PretendAccount:
    """The account of that name in this process, brought up to date from its file when it is first asked for."""
    known = (name, str(state_file or ""))
    if known not in _accounts:
        _accounts[known] = PretendAccount()
        if state_file is not None:
            _accounts[known].replay(state_file)
    return _accounts[known]


def forget(name: str) -> None:
    """Drop the account of that name, as if nothing had ever been sent there."""
    for known in [known for known in _accounts if known[0] == name]:
        del _accounts[known]


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
        listing = {"read_back": lists, "counts": config.listing != "nothing"}
        names = ListedAs(config.listing) if lists else ListedAs.KEY
        return replace(known, batch=config.batch, concurrency=config.concurrency, listed_as=names, **listing)

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
        number = self.account.next_call()
        failure = next((scripted for scripted in self.config.failures if scripted.call == number), None)
        await self._take_its_time()
        self._refuse_if_locked()
        refused = {person.key: why for person in batch.add if (why := self._refusal(person))}
        job = f"job-{number}" if self.config.jobs and failure is None and len(batch) else None
        applied = job is None and (failure is None or failure.kind in {"unknown", "timeout_after_apply"})
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
        for held in self.account.audiences.values():
            for person in people:
                held.pop(person.key, None)
        return Result()

    def _refusal(self, person: Person) -> tuple[OutcomeKind, str] | None:
        names = {person.id, person.key}
        if names & set(self.config.suppress):
            return OutcomeKind.SUPPRESSED, "on the block list"
        return (OutcomeKind.REJECTED, "refused by the script") if names & set(self.config.reject) else None

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


@hookimpl
def hub_connectors() -> list[type[Sandbox]]:
    return [Sandbox]

"""Carries out what the delivery machine asks for: the real plan, gate, connector, clock and outcome log.

It decides nothing about retries or fates; that is `hub.core.delivery`. The gate and the request it opens stand in
`_gate` and `_send`: between the two there is only the machine's word.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Any

import structlog

from hub.core.delivery.machine import Delivery
from hub.core.delivery.messages import (
    Answer,
    Answered,
    ChunkRead,
    Command,
    Commit,
    Committed,
    Crashed,
    Event,
    Finish,
    Gate,
    Gated,
    Limits,
    Read,
    Row,
    Send,
    Verdict,
    Wait,
    Woken,
)
from hub.core.planning import Op, PersonOutcome, PlannedPerson, PlanRequest, Reading
from hub.core.records import WithheldReason
from hub.failpoints import failpoint
from hub.logs import where
from hub.sdk.contract import Audience, Batch, Capabilities, Connector, Outcome, Person, Result
from hub.sdk.errors import ConnectorError, TransientError
from hub.services import metrics
from hub.services.hub import Hub
from hub.services.lanes import KeysInFlight
from hub.services.projection import catch_up
from hub.services.retry import RetryPolicy
from hub.warehouse.consent import Position
from hub.warehouse.outcomes import append_outcomes
from hub.warehouse.payload import read_people

MOST_CONCURRENT = 8
CHUNK = 16_000
# The connector's own requests end long before this; it frees the slot of one that hangs otherwise.
CALL_DEADLINE_S = 300.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Job:
    """What one run delivers, and through whom. The plan's positions go up to `steps`; `attempts_before` counts those of
    processes that died."""

    request: PlanRequest
    sync_key: str
    connector: Connector[Any]
    audience: Audience
    steps: int
    attempts_before: int = 0

    @property
    def run(self) -> int:
        return self.request.run


def limits_for(capabilities: Capabilities) -> Limits:
    concurrency = max(1, min(capabilities.concurrency, MOST_CONCURRENT))
    return Limits(max(1, capabilities.batch), concurrency, chunk=max(CHUNK, capabilities.batch))


class Executor:
    """Delivers one job: `await executor.run()`, and `tell` it of a cancel or a drain meanwhile."""

    def __init__(
        self,
        hub: Hub,
        job: Job,
        keys: KeysInFlight,
        policy: RetryPolicy | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._hub = hub
        self._job = job
        self._keys = keys
        self._sleep = sleep
        limits = limits_for(job.connector.limits())
        self._machine = Delivery(limits, (policy or RetryPolicy()).delay, job.attempts_before)
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        # By key: the person with their payload, and the position of the consent projection that both are as of.
        self._seen: dict[str, tuple[PlannedPerson, Position]] = {}
        self._held: dict[int, frozenset[str]] = {}
        self._log = log.bind(run=job.run, sync=job.sync_key, connector=job.connector.key)

    def tell(self, event: Event) -> None:
        self._events.put_nowait(event)

    async def run(self) -> Finish:
        """Until the machine finishes. Raises whatever the stores raise; the run can then be resumed."""
        try:
            async with asyncio.TaskGroup() as tasks:
                return await self._converse(tasks)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            for batch in list(self._held):
                await self._release(batch)

    async def _converse(self, tasks: asyncio.TaskGroup) -> Finish:
        under_way: set[asyncio.Task[None]] = set()
        commands = self._machine.start()
        while True:
            for command in commands:
                if isinstance(command, Finish):
                    # Only waits, and a read nobody needs any more, can still be under way.
                    for task in under_way:
                        task.cancel()
                    return command
                task = tasks.create_task(self._carry_out(command))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            event = await self._events.get()
            commands = self._machine.handle(event)
            if isinstance(event, Gated) and not any(isinstance(c, Send) and c.batch == event.batch for c in commands):
                await self._release(event.batch)

    def _carry_out(self, command: Command) -> Coroutine[Any, Any, None]:
        match command:
            case Read():
                return self._read(command)
            case Gate():
                return self._gate(command)
            case Send():
                return self._send(command)
            case Wait():
                return self._wait(command)
            case Commit():
                return self._commit(command)
        raise TypeError(f"nobody carries out {type(command).__name__}")

    async def _read(self, command: Read) -> None:
        reading = await self._read_people(after=command.after, limit=command.limit)
        rows = tuple([Row(position, pid, key, op) for position, pid, _, key, op, *_ in reading.rows])
        self.tell(ChunkRead(rows, reading.last, end=reading.last >= self._job.steps))

    async def _gate(self, command: Gate) -> None:
        keys = frozenset(row.key for row in command.rows)
        await self._keys.take(self._job.request.sync, keys)
        self._held[command.batch] = keys
        failpoint("before_gate")
        position = await catch_up(self._hub)
        if command.fresh or {self._seen[key][1] for key in keys} != {position}:
            position = await self._read_again(command.rows)
        withheld = self._withheld(command.rows)
        failpoint("after_gate")
        self.tell(Gated(command.batch, command.attempt, position.watermark, withheld))

    async def _read_again(self, rows: Sequence[Row]) -> Position:
        for row in rows:
            self._seen.pop(row.key, None)
        reading = await self._read_people(positions=[row.position for row in rows])
        return Position(reading.watermark, reading.generation)

    async def _read_people(self, **which: Any) -> Reading:
        reading = await asyncio.to_thread(read_people, self._hub.engine, self._job.request, **which)
        position = Position(reading.watermark, reading.generation)
        self._seen.update((person.key, (person, position)) for person in reading.rows)
        return reading

    def _withheld(self, rows: Sequence[Row]) -> dict[str, WithheldReason]:
        now = self._hub.clock.now()
        # Whoever is no longer in the data plane has no consent in it either.
        people = [(row.key, self._person(row.key)) for row in rows if row.op is not Op.REMOVE]
        return {key: _reason_against(person) for key, person in people if person is None or not person.may_go(now)}

    async def _send(self, command: Send) -> None:
        began = perf_counter()
        try:
            answer = await self._answer(self._batch_of(command.rows))
        finally:
            await self._release(command.batch)
        metrics.ATTEMPTS.labels(self._job.connector.key, type(answer).__name__).inc()
        self._log.debug(
            "attempt",
            batch=command.batch,
            attempt=command.attempt,
            people=len(command.rows),
            kind=type(answer).__name__,
            duration_ms=round((perf_counter() - began) * 1000),
        )
        failpoint("after_send_before_commit")
        self.tell(Answered(command.batch, command.attempt, answer))

    def _batch_of(self, rows: Sequence[Row]) -> Batch:
        """Every attempt but the first is on a payload read anew: a connector that changes it changes nothing here."""
        return Batch(
            add=[self._addressed(row.key) for row in rows if row.op is not Op.REMOVE],
            remove=[self._addressed(row.key) for row in rows if row.op is Op.REMOVE],
            sync=self._job.sync_key,
            run=str(self._job.run),
        )

    def _addressed(self, key: str) -> Person:
        person = self._person(key)
        return Person(person.external_id, key, person.fields) if person else Person(key, key)

    def _person(self, key: str) -> PlannedPerson | None:
        seen = self._seen.get(key)
        return seen[0] if seen else None

    async def _answer(self, batch: Batch) -> Answer:
        try:
            async with asyncio.timeout(CALL_DEADLINE_S):
                return _checked(await self._job.connector.apply(self._job.audience, batch))
        except ConnectorError as error:
            return error
        except TimeoutError:
            return TransientError(f"The connector did not finish within {CALL_DEADLINE_S:.0f} seconds.")
        except Exception as error:  # noqa: BLE001 - a stranger's code may raise anything, and the others must go on
            self._log.error("connector failed", error_type=type(error).__name__, where=where(error))
            return Crashed(type(error).__name__)

    async def _release(self, batch: int) -> None:
        if keys := self._held.pop(batch, None):
            await self._keys.give_back(self._job.request.sync, keys)

    async def _wait(self, command: Wait) -> None:
        await self._sleep(command.seconds)
        self.tell(Woken(command.batch, command.attempt))

    async def _commit(self, command: Commit) -> None:
        now = self._hub.clock.now()
        outcomes = [self._outcome(verdict, now) for verdict in command.verdicts]
        await asyncio.to_thread(append_outcomes, self._hub.engine, self._job.run, outcomes)
        failpoint("after_commit")
        for verdict in command.verdicts:
            self._seen.pop(verdict.row.key, None)
        for (op, fate), people in Counter((v.row.op, v.fate) for v in command.verdicts).items():
            metrics.PEOPLE.labels(op.value, fate.value).inc(people)
        self.tell(Committed())

    def _outcome(self, verdict: Verdict, now: datetime) -> PersonOutcome:
        (position, pid, key, op, _), attempt, fate, reason, ledger_seq = verdict
        person = self._person(key)
        sent = person.fingerprint if person else ""
        return PersonOutcome(position, pid, key, op, attempt, fate, now, reason, ledger_seq, sent)


def _reason_against(person: PlannedPerson | None) -> WithheldReason:
    known = person is not None and person.reason in WithheldReason.__members__
    return WithheldReason(person.reason) if person and known else WithheldReason.NO_CONSENT


def _checked(result: Result) -> Result:
    """A result whose parts are what they claim to be; raises TypeError for anything else that a plugin made up."""
    sound = isinstance(result, Result) and all(isinstance(outcome, Outcome) for outcome in result.outcomes.values())
    if not sound:
        raise TypeError("the connector returned something other than a Result")
    return result

"""Carries out what the delivery machine asks for: the real plan, gate, connector, clock and outcome log.

It decides nothing about retries or fates; that is `hub.core.delivery`. The gate and the request it opens stand in
`_gate` and `_send`: between the two there is only the machine's word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from time import perf_counter
from typing import Any

import structlog

from hub.core.delivery.jobs import Followed
from hub.core.delivery.machine import Delivery
from hub.core.delivery.messages import (
    Answered,
    ChunkRead,
    Command,
    Commit,
    Committed,
    Event,
    Finish,
    Gate,
    Gated,
    Limits,
    Poll,
    Polled,
    Read,
    Send,
    Wait,
    Woken,
)
from hub.core.delivery.rows import Rows, Stretch, addressed, all_may_go, keys_of, ops_of, planned, renewed
from hub.core.planning import PlannedPerson, PlanRequest, Reading
from hub.core.records import WithheldReason
from hub.failpoints import failpoint
from hub.sdk.contract import Audience, Batch, Capabilities, Connector, Result
from hub.services import metrics
from hub.services.asking import answer_to
from hub.services.hold import Hold
from hub.services.hub import Hub
from hub.services.lanes import KeysInFlight
from hub.services.limiters import Limiter, places_of
from hub.services.projection import catch_up
from hub.services.recorder import answered, attempting
from hub.services.retry import RetryPolicy
from hub.warehouse.outcomes import append_outcomes
from hub.warehouse.payload import read_people

CHUNK = 16_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Job:
    """What one run delivers, and through whom. The plan's positions go up to `steps`; `attempts_before` counts those of
    processes that died, `followed` are the vendor's jobs that they left open."""

    request: PlanRequest
    sync_key: str
    connector: Connector[Any]
    audience: Audience
    steps: int
    attempts_before: int = 0
    followed: Sequence[Followed] = ()

    @property
    def run(self) -> int:
        return self.request.run


def limits_for(capabilities: Capabilities) -> Limits:
    chunk = max(CHUNK, capabilities.batch)
    return Limits(max(1, capabilities.batch), places_of(capabilities), chunk=chunk, apart=capabilities.jobs)


class Executor:
    """Delivers one job: `await executor.run()`, and `tell` it of a cancel or a drain meanwhile. It calls `only_asks`
    once a cancelled run has nothing more to do than to ask after the vendor's jobs."""

    def __init__(
        self,
        hub: Hub,
        job: Job,
        hold: Hold,
        keys: KeysInFlight,
        limiter: Limiter,
        policy: RetryPolicy | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        only_asks: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._hub = hub
        self._job = job
        self._hold = hold
        self._keys = keys
        self._limiter = limiter
        self._sleep = sleep
        limits, policy = limits_for(job.connector.limits()), policy or RetryPolicy()
        self._machine = Delivery(limits, policy.delay, job.attempts_before, policy.pause, job.followed)
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        # By batch: what its gate let through was read with.
        self._readings: dict[int, Reading] = {}
        self._held: dict[int, frozenset[str]] = {}
        self._entered: set[int] = set()
        self._ending = asyncio.Event()
        self._only_asks = only_asks
        self._log = log.bind(run=job.run, sync=job.sync_key, connector=job.connector.key)

    def tell(self, event: Event) -> None:
        self._events.put_nowait(event)

    async def run(self) -> Finish:
        """Until the machine finishes. Raises whatever the stores raise; the run can then be resumed."""
        try:
            async with asyncio.TaskGroup() as tasks:
                return await self._converse(tasks)
        except BaseExceptionGroup as group:  # the first fault ends the other tasks: it is the one to hear of
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
                    # Only waits, and reads and polls that nobody needs any more, can still be under way.
                    for task in under_way:
                        task.cancel()
                    return command
                task = tasks.create_task(self._carry_out(command))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            event = await self._events.get()
            commands = self._machine.handle(event)
            if self._machine.ending:
                self._ending.set()
            if isinstance(event, Gated | Answered | Polled) and self._machine.idle(event.batch):
                await self._release(event.batch)
            if self._machine.only_asks and self._only_asks:
                tell, self._only_asks = self._only_asks, None
                await tell()

    def _carry_out(self, command: Command) -> Coroutine[Any, Any, None]:
        match command:
            case Read():
                return self._read(command)
            case Gate():
                return self._gate(command)
            case Send():
                return self._send(command)
            case Poll():
                return self._poll(command)
            case Wait():
                return self._wait(command)
            case Commit():
                return self._commit(command)
        raise TypeError(f"nobody carries out {type(command).__name__}")

    async def _read(self, command: Read) -> None:
        reading = await self._read_people(after=command.after, limit=command.limit)
        rows = Stretch(reading, 0, len(reading))
        self.tell(ChunkRead(rows, reading.last, end=reading.last >= self._job.steps))

    async def _gate(self, command: Gate) -> None:
        await self._take(command.batch, keys_of(command.rows))
        # The last wait: nothing may stand between the reading of consent and the request.
        if not await self._limiter.enter(unless=self._ending, urgent=self._job.request.scope.urgent):
            self.tell(Gated(command.batch, command.attempt, 0))
            return
        self._entered.add(command.batch)
        failpoint("before_gate")
        await self._hold.confirm()
        rows, reading = await self._up_to_date(command)
        self._readings[command.batch] = reading
        withheld = self._withheld(rows, reading)
        failpoint("after_gate")
        self.tell(Gated(command.batch, command.attempt, reading.as_of[0], withheld, rows))

    async def _up_to_date(self, command: Gate) -> tuple[Rows, Reading]:
        """The rows with their payloads, on consent as it stands now: as they were read with their neighbours if nothing
        has changed since, else read anew."""
        position, rows = await catch_up(self._hub), command.rows
        if isinstance(rows, Stretch) and rows.reading.as_of == position and not command.fresh:
            return rows, rows.reading
        reading = await self._read_people(positions=[row.position for row in rows])
        return renewed(rows, reading), reading

    async def _read_people(self, **which: Any) -> Reading:
        return await asyncio.to_thread(read_people, self._hub.engine, self._job.request, **which)

    def _withheld(self, rows: Rows, reading: Reading) -> dict[str, WithheldReason]:
        if isinstance(rows, Stretch) and all_may_go(rows):
            return {}
        now = self._hub.clock.now()
        people = [(row.key, planned(row, reading)) for row in rows]
        return {key: _reason_against(one) for key, one in people if not one.may_go(now)}

    async def _send(self, command: Send) -> None:
        began = perf_counter()
        try:
            attempting(command.attempt - self._job.attempts_before, len(command.rows))
            batch = self._batch_of(command)
            answer = await answer_to(lambda: self._job.connector.apply(self._job.audience, batch), self._log)
            answered(answer, len(command.rows))
            self._limiter.hear(answer)
        finally:
            self._leave(command.batch)
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
        self.tell(Answered(command.batch, command.attempt, answer, self._asked_after_until()))

    def _asked_after_until(self) -> datetime | None:
        able = self._job.connector.limits()
        return self._hub.clock.now() + timedelta(seconds=able.job_deadline_s) if able.jobs else None

    async def _poll(self, command: Poll) -> None:
        """The question changes nothing for anybody: it needs no gate, and goes in its turn. But its answer may be the
        end of the job, and no request about the same people may be under way then: nobody could say which came last."""
        left = (command.job.until - self._hub.clock.now()).total_seconds()
        await self._sleep(max(0.0, min(command.seconds, left)))
        audience, keys = self._job.audience, [row.key for row in command.rows]
        await self._take(command.batch, frozenset(keys))
        await self._hold.confirm()
        ask = partial(self._job.connector.poll, audience, command.job.id, keys)
        attempting(command.poll, len(keys))
        # It waits its turn also once the run was cancelled. When nobody needs it any more its task is ended.
        answer = await self._limiter.through(partial(answer_to, ask, self._log), unless=asyncio.Event())
        self._limiter.hear(answer)
        metrics.ATTEMPTS.labels(self._job.connector.key, type(answer).__name__).inc()
        failpoint("after_poll")
        late = self._hub.clock.now() >= command.job.until
        self.tell(Polled(command.batch, command.attempt, command.poll, answer, late))

    def _batch_of(self, command: Send) -> Batch:
        """Every attempt but the first is on a payload read anew: a connector that changes it changes nothing here."""
        add, remove = addressed(command.rows, self._readings[command.batch])
        return Batch(add, remove, self._job.sync_key, str(self._job.run))

    def _leave(self, batch: int) -> None:
        self._readings.pop(batch, None)
        if batch in self._entered:
            self._entered.remove(batch)
            self._limiter.leave()

    async def _take(self, batch: int, keys: frozenset[str]) -> None:
        await self._keys.take(self._job.request.sync, keys)
        self._held[batch] = keys

    async def _release(self, batch: int) -> None:
        self._leave(batch)
        if keys := self._held.pop(batch, None):
            await self._keys.give_back(self._job.request.sync, keys)

    async def _wait(self, command: Wait) -> None:
        await self._sleep(command.seconds)
        self.tell(Woken(command.batch, command.attempt))

    async def _commit(self, command: Commit) -> None:
        await asyncio.to_thread(
            append_outcomes, self._hold.engine, self._job.run, command.verdicts, self._hub.clock.now()
        )
        failpoint("after_commit")
        for batch in command.batches:
            await self._release(batch)
        for verdict in command.verdicts:
            for op, people in ops_of(verdict.rows).items():
                metrics.PEOPLE.labels(op.value, verdict.fate.value).inc(people)
            if verdict.job and verdict.fate.final:
                answered(Result(), len(verdict.rows))
        self.tell(Committed())


def _reason_against(one: PlannedPerson) -> WithheldReason:
    return WithheldReason(one.reason) if one.reason in WithheldReason.__members__ else WithheldReason.NO_CONSENT

"""The course of a run that erases people at one destination: whoever is being erased and cannot be put there any more.

Nothing is written down before the vendor has answered: whoever takes the run over asks it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import structlog

from hub.core.delivery.messages import Ended, Finish
from hub.core.planning import PlanRequest
from hub.core.records import Destination, Erasure, Lens, Run, RunCounts, RunStatus, SyncMode
from hub.core.scopes import Scope
from hub.errors import HubError, Problem
from hub.failpoints import failpoint
from hub.sdk.contract import Capabilities, Connector, Outcome, OutcomeKind, Person, Result
from hub.sdk.errors import RefusedError
from hub.services import erasures, metrics
from hub.services.desk import Desk
from hub.services.endings import Halted, failure_of, status_of
from hub.services.errands import Errands
from hub.services.hold import Hold
from hub.services.recorder import Recorder
from hub.warehouse import erasure as traces

DONE = frozenset({OutcomeKind.ACCEPTED, OutcomeKind.NOOP})
REFUSED = frozenset({OutcomeKind.REJECTED, OutcomeKind.SUPPRESSED})

log = structlog.get_logger()


class Erasing:
    """`await erasing.take()` carries the run as far as it goes; `cancel` and `drain` may be called meanwhile."""

    def __init__(self, desk: Desk, hold: Hold) -> None:
        self._desk = desk
        self._hub = desk.hub
        self._claim = hold.claim
        self._run = hold.claim.run
        self._engine = hold.engine
        self._errands = Errands(desk.policy.delay, desk.sleep, hold.confirm)
        self._recorder: Recorder | None = None
        self._outcomes: dict[str, OutcomeKind] = {}
        self._log = log.bind(run=self._run.id, cause=self._run.cause.value)

    @property
    def run(self) -> Run:
        return self._run

    def cancel(self) -> None:
        self._errands.end(Finish(Ended.CANCELLED))

    def drain(self) -> None:
        self._errands.end(Finish(Ended.DRAINED))

    async def save_history(self, *, last: bool = False) -> None:
        """Write down what the run's recorder has heard so far. Raises LeaseLost."""
        if self._recorder:
            await self._recorder.save(last=last)

    async def take(self) -> None:
        """Raises LeaseLost when another worker has the run, and whatever the stores raise: the run can be resumed."""
        id = self._run.destination_id
        destination = await self._hub.store.destinations.find(id) if id else None
        if destination is None:
            await self._end(RunStatus.CANCELLED, None)
            return
        try:
            connector, self._errands.limiter = await self._desk.vendors.engage(destination)
        except HubError as error:
            await self._end(RunStatus.FAILED, error.problems[0])
            return
        self._recorder = await Recorder.of(self._hub, self._claim, connector, ())
        runs, now = self._hub.store.runs, self._hub.clock.now()
        self._run = await runs.set_status(self._run.id, RunStatus.RUNNING, now=now, fence=self._claim.fence)
        await self._erase(destination, connector, self._recorder)

    async def _erase(self, destination: Destination, connector: Connector[Any], recorder: Recorder) -> None:
        waiting = await self._waiting(destination)
        able = connector.limits()
        keys = {erasure.id: await self._keys(erasure, destination, able) for erasure in waiting if able.erase}
        finish = Finish(Ended.COMPLETED)
        try:
            with recorder.listening():
                await self._ask(connector, _people(waiting, keys), able.batch)
        except Halted as halted:
            finish = halted.finish
        if finish.ended is Ended.DRAINED:
            await self.save_history(last=True)
            return
        failpoint("after_erase")
        await self._conclude(destination, waiting, keys, finish)

    async def _waiting(self, destination: Destination) -> list[Erasure]:
        """Who is to be erased there, and may be: whatever still could put them back has come to its end."""
        now = self._hub.clock.now()
        found = [
            erasure
            for erasure in await self._hub.store.erasures.under_way()
            if destination.id in {place.destination_id for place in erasure.left}
        ]
        seen = {erasure.id: await erasures.trace_at(self._hub, erasure, destination.id) for erasure in found}
        return [erasure for erasure in found if seen[erasure.id].quiet(now)]

    async def _keys(self, erasure: Erasure, destination: Destination, able: Capabilities) -> list[str]:
        ids = [sync.id for sync in await erasures.syncs_at(self._hub, destination.id)]
        known_by = PlanRequest(
            run=self._run.id,
            sync=0,
            segment=0,
            lens=Lens.LIVE,
            purposes=(),
            mode=SyncMode.MIRROR,
            key=able.key,
            fields=(),
            scope=Scope.ERASE,
            now=self._hub.clock.now(),
            identifiers=tuple((kind, able.spellings.get(kind, "")) for kind in able.identifiers),
        )
        return await asyncio.to_thread(traces.keys, self._engine, erasure.external_id or "", ids, known_by)

    async def _ask(self, connector: Connector[Any], people: Sequence[Person], batch: int) -> None:
        for start in range(0, len(people), max(1, batch)):
            some = people[start : start + max(1, batch)]
            result = await self._errands.insist_unless_ended(partial(erased, connector, some))
            rest = Outcome(OutcomeKind.UNKNOWN if result.job else result.rest)
            self._outcomes |= {one.key: result.outcomes.get(one.key, rest).kind for one in some}

    async def _conclude(
        self, destination: Destination, waiting: Sequence[Erasure], keys: dict[int, list[str]], finish: Finish
    ) -> None:
        ids = [sync.id for sync in await erasures.syncs_at(self._hub, destination.id)]
        refused = done = 0
        for erasure in waiting:
            told = {self._outcomes.get(key, OutcomeKind.UNKNOWN) for key in keys.get(erasure.id, ())}
            if erasure.id in keys and told <= DONE:
                await asyncio.to_thread(traces.forget_deliveries, self._engine, erasure.external_id or "", ids)
                await self._hub.store.erasures.mark(erasure.id, destination.id, self._hub.clock.now())
                done += 1
            elif told & REFUSED:
                refused += 1
        counts = RunCounts(
            leavers=len(waiting),
            removed=done,
            remove_rejected=refused,
            remove_pending=len(waiting) - done - refused,
        )
        failure = failure_of(finish, destination)
        if finish.ended in {Ended.AUTH, Ended.DENIED}:
            await self._hub.store.destinations.pause(destination.id, failure)
        await self._end(status_of(finish, counts), failure, counts)

    async def _end(self, status: RunStatus, failure: Problem | None, counts: RunCounts | None = None) -> None:
        await self.save_history(last=True)
        runs, now = self._hub.store.runs, self._hub.clock.now()
        told: dict[str, Any] = {"now": now, "failure": failure, "fence": self._claim.fence}
        self._run = await runs.finish(self._run.id, status, counts=counts, **told)
        self._hub.signals.run_ended.ring()
        metrics.RUNS.labels(status.value, self._run.cause.value).inc()
        self._log.info("run ended", status=status.value, code=failure.code.value if failure else None)


def _people(waiting: Sequence[Erasure], keys: dict[int, list[str]]) -> list[Person]:
    """Each key once: two people may share one."""
    named = {key: Person(one.external_id or "", key) for one in waiting for key in keys.get(one.id, ())}
    return list(named.values())


async def erased(connector: Connector[Any], people: Sequence[Person]) -> Result:
    """What the connector says of them. Where one may have spoilt it for all, halves are asked for until that one stands
    alone: nobody else's erasure waits for them."""
    try:
        return _checked(await connector.erase(people))
    except RefusedError as error:
        if not error.divisible or len(people) == 1:
            raise
    middle = len(people) // 2
    first = await _half(connector, people[:middle])
    return first.merged(await _half(connector, people[middle:]))


async def _half(connector: Connector[Any], people: Sequence[Person]) -> Result:
    try:
        return await erased(connector, people)
    except RefusedError as error:
        if len(people) > 1:
            raise
        return Result({people[0].key: Outcome(OutcomeKind.REJECTED, error.reason)})


def _checked(result: object) -> Result:
    if not isinstance(result, Result):
        raise TypeError("the connector returned something other than a Result")
    return result

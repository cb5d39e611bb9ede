"""The course of one run that a worker has claimed: plan, deliver, settle, and every way in which that may end early.

Each step leaves behind what the next process needs to go on from there: the plan with its request in the control plane,
outcomes in the data plane, and, once the machine has finished, how it ended. So a run may be carried on from any point.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import structlog

from hub.core.delivery.jobs import Followed
from hub.core.delivery.messages import CancelRequested, DrainRequested, Ended, Finish
from hub.core.history import MomentKind
from hub.core.planning import PlanRequest, Swap
from hub.core.records import Destination, Run, RunCause, RunCounts, RunStatus, Sync
from hub.core.scopes import Scope
from hub.errors import HubError, Problem
from hub.failpoints import failpoint
from hub.sdk.contract import Audience, Capabilities, Connector
from hub.services import drafting, leftovers, metrics, plans, withdrawals
from hub.services.auditing import Auditing
from hub.services.delivery import Executor, Job
from hub.services.desk import Desk
from hub.services.endings import Halted, failure_of, kept_finish, status_of
from hub.services.errands import Errands
from hub.services.hold import Hold
from hub.services.recorder import Recorder
from hub.warehouse import outcomes, resume
from hub.warehouse.settle import settle

log = structlog.get_logger()


class Course:
    """`await course.take()` carries the run as far as it goes; `cancel` and `drain` may be called meanwhile."""

    def __init__(self, desk: Desk, hold: Hold) -> None:
        claim = hold.claim
        self._desk = desk
        self._hub = desk.hub
        self._holding = hold
        self._claim = claim
        self._run = claim.run
        self._executor: Executor | None = None
        self._errands = Errands(desk.policy.delay, desk.sleep, hold.confirm)
        self._early: CancelRequested | DrainRequested | None = None
        self._recorder: Recorder | None = None
        self._destination: Destination | None = None
        self._swap: Swap | None = None
        self._log = log.bind(run=claim.run.id, cause=claim.run.cause.value)

    @property
    def run(self) -> Run:
        return self._run

    def cancel(self) -> None:
        self._end_early(CancelRequested())

    def drain(self) -> None:
        self._end_early(DrainRequested())

    def _end_early(self, event: CancelRequested | DrainRequested) -> None:
        """A run that was cancelled may still be drained, while the jobs that it has left open are asked after."""
        if self._early is None or isinstance(event, DrainRequested) > isinstance(self._early, DrainRequested):
            self._early = event
            self._errands.end(Finish(event.ended))
            if self._executor:
                self._executor.tell(event)

    async def take(self) -> None:
        """Raises LeaseLost when another worker has the run, and whatever the stores raise: the run can be resumed."""
        sync = await self._hub.store.syncs.find(self._run.sync_id) if self._run.sync_id else None
        if sync is None:
            await self._end(RunStatus.CANCELLED, None)
            return
        destination = await self._hub.store.destinations.find(sync.destination_id)
        assert destination is not None, "the store keeps a destination while it has syncs"  # noqa: S101 - for the reader
        try:
            connector, self._errands.limiter = await self._desk.vendors.engage(destination)
            self._destination = destination
            self._recorder = recorder = await Recorder.of(self._hub, self._claim, connector, sync.fields)
            plan = self._claim.plan or await self._prepare(sync, connector, recorder)
        except HubError as error:
            await self._fail(error.problems[0])
            return
        except Halted as halted:
            await self._stop(halted.finish, destination)
            return
        if plan is None:
            await self._end(RunStatus.SUCCEEDED, None)
        elif self._awaits_approval(plan):
            await self._hold()
        elif isinstance(self._early, CancelRequested) and not self._begun:
            await self._settle(plan, destination, Finish(Ended.CANCELLED), connector.limits().lands_within_s)
        elif not isinstance(self._early, DrainRequested):
            with recorder.listening():
                await self._deliver(plan, sync, destination, connector)

    async def save_history(self, *, last: bool = False) -> None:
        """Write down what the run's recorder has heard so far, and what the vendor still allows. Raises LeaseLost."""
        if self._recorder:
            await self._recorder.save(last=last)
        if self._destination:
            await self._desk.vendors.remember(self._destination)

    # Plan.

    async def _prepare(self, sync: Sync, connector: Connector[Any], recorder: Recorder) -> dict[str, Any] | None:
        """The plan, or None where an audit is all there is to do. A full run begins with one, if it can be had."""
        await self._move(RunStatus.PLANNING)
        scope = self._run.scope
        if scope.audits or (scope is Scope.FULL and connector.limits().read_back):
            await Auditing(self._hub, self._holding, self._errands, connector, recorder).carry_out(sync)
        return None if scope.audits else await self._plan(sync, connector)

    async def _plan(self, sync: Sync, connector: Connector[Any]) -> dict[str, Any]:
        with metrics.timed("plan"):
            plan, self._run = await drafting.draft(self._hub, self._holding, self._run, sync, connector.limits())
        self._log.info("planned", sync=sync.key, people=plan["steps"])
        return plan

    def _awaits_approval(self, plan: dict[str, Any]) -> bool:
        """A run with a plan is queued again only by an approval."""
        approved = self._claim.plan is not None and self._claim.run.status is RunStatus.QUEUED
        return bool(plan["waits"]) and not approved and not self._begun

    @property
    def _begun(self) -> bool:
        """Whether a process before has sent somebody; a run that was cancelled then has jobs left to ask after."""
        return self._claim.run.status in {RunStatus.RUNNING, RunStatus.CANCELLED}

    async def _hold(self) -> None:
        await self._move(RunStatus.WAITING_APPROVAL)
        await self._hub.store.runs.release(self._claim)
        self._log.warning("run waits for approval", status="WAITING_APPROVAL")

    # Deliver.

    async def _deliver(
        self, plan: dict[str, Any], sync: Sync, destination: Destination, connector: Connector[Any]
    ) -> None:
        if not self._begun:
            await self._move(RunStatus.RUNNING)
        request = plans.from_json(plan["request"])
        finish = kept_finish(plan)
        try:
            if finish is None:
                with metrics.timed("deliver"):
                    finish = await self._send(plan, request, sync, connector)
                if finish.ended is Ended.DRAINED:
                    await self._note_drained()
                    return
                plan = {**plan, "ended": finish.ended.value, "reason": finish.reason}
                await self._keep(plan)
            await self._finish_at_vendor(plan, request, connector, finish)
        except Halted as halted:
            finish = halted.finish
            if finish.ended is Ended.DRAINED:
                await self._note_drained()
                return
        await self._settle(plan, destination, finish, connector.limits().lands_within_s)

    async def _send(self, plan: dict[str, Any], request: PlanRequest, sync: Sync, connector: Connector[Any]) -> Finish:
        if not plan["steps"] and not request.is_snapshot:
            return Finish(Ended.COMPLETED)
        before = 0
        followed: list[Followed] = []
        if self._begun:
            before, followed = await leftovers.take_over(self._hub, self._holding, connector.limits(), self._note)
            if self._run.cancel_requested:
                self.cancel()
        try:
            audience = await self._begin(request, connector)
        except Halted as halted:
            if halted.finish.ended is not Ended.CANCELLED or not followed:
                raise
            audience = await leftovers.audience(plan, request, connector, self._errands)
        job = Job(request, sync.key, connector, audience, plan["steps"], before, followed)
        desk, tell = self._desk, partial(self._only_asks, plan, audience, connector)
        self._executor = Executor(
            self._hub, job, self._holding, desk.keys, self._errands.limiter, desk.policy, desk.sleep, tell
        )
        if self._early:
            self._executor.tell(self._early)
        return await self._executor.run()

    async def _begin(self, request: PlanRequest, connector: Connector[Any]) -> Audience:
        insist = self._errands.insist_unless_ended
        audience: Audience = await insist(lambda: connector.ensure_audience(request.audience))
        await insist(lambda: connector.begin(audience, str(self._run.id), snapshot=request.is_snapshot))
        failpoint("after_begin")
        return audience

    async def _only_asks(self, plan: dict[str, Any], audience: Audience, connector: Connector[Any]) -> None:
        """The run is cancelled for everybody else; only its jobs are still asked after, here or by the next process."""
        if self._run.status is not RunStatus.CANCELLED:
            plan["audience"] = [audience.name, audience.ref]
            await self._keep(plan)
            self._run = await leftovers.leave(self._hub, self._holding, plan, connector.limits())
            self._tell_end(RunStatus.CANCELLED, None)

    async def _finish_at_vendor(
        self, plan: dict[str, Any], request: PlanRequest, connector: Connector[Any], finish: Finish
    ) -> None:
        """Have the vendor take the run as a whole. A snapshot that is not complete would lose people: it is left."""
        snapshot = request.is_snapshot
        if not plan["steps"] and not snapshot:
            return
        try:
            if snapshot and finish.ended is not Ended.COMPLETED:
                raise Halted(finish)
            audience = await leftovers.audience(plan, request, connector, self._errands)
            await self._errands.insist(lambda: connector.finish(audience, str(self._run.id)))
            self._swap = Swap.MADE if snapshot else None
        except Halted:
            if snapshot and finish.ended is Ended.COMPLETED:
                self._swap = Swap.DOUBTED
            engine, run = self._holding.engine, self._run.id
            if not await asyncio.to_thread(resume.is_settled, engine, run):
                await asyncio.to_thread(resume.doubt_accepted, engine, run, self._hub.clock.now())
            raise
        failpoint("after_finish")

    # Settle.

    async def _stop(self, finish: Finish, destination: Destination) -> None:
        """The run ends before it has a plan."""
        drained = finish.ended is Ended.DRAINED
        await (self._note_drained() if drained else self._settle(None, destination, finish, 0))

    async def _settle(
        self, plan: dict[str, Any] | None, destination: Destination, finish: Finish, in_flight_s: float
    ) -> None:
        failure = failure_of(finish, destination)
        if finish.ended in {Ended.AUTH, Ended.DENIED}:
            await self._hub.store.destinations.pause(destination.id, failure)
        numbers = await self._fold(plan, in_flight_s) if plan else {"counts": RunCounts()}
        await self._end(status_of(finish, numbers["counts"]), failure, **numbers)

    async def _fail(self, problem: Problem) -> None:
        """The run cannot go on at all; what it has reached so far is kept."""
        plan = self._claim.plan
        numbers = await self._fold(plan, Capabilities().in_flight_s) if plan else {}
        await self._end(RunStatus.FAILED, problem, **numbers)

    async def _fold(self, plan: dict[str, Any], in_flight_s: float) -> dict[str, Any]:
        failpoint("before_settle")
        engine, now = self._holding.engine, self._hub.clock.now()
        with metrics.timed("settle"):
            request = plans.from_json(plan["request"])
            told: dict[str, Any] = {"now": now, "in_flight_s": in_flight_s, "swap": self._swap}
            counts = await asyncio.to_thread(settle, engine, request, **told)
        failpoint("after_settle")
        self._note(MomentKind.SETTLED)
        if not counts.balanced:
            self._log.error("the counts of the run do not add up", code="L5")
        return {"counts": counts, "withheld": await asyncio.to_thread(outcomes.withheld, engine, self._run.id)}

    async def _end(self, status: RunStatus, failure: Problem | None, **numbers: Any) -> None:
        await self.save_history(last=True)
        runs, now, asked_after = self._hub.store.runs, self._hub.clock.now(), self._run.status is RunStatus.CANCELLED
        self._run = await runs.finish(
            self._run.id, status, now=now, failure=failure, fence=self._claim.fence, **numbers
        )
        if asked_after:
            return
        self._tell_end(status, failure)
        if self._run.cause is RunCause.WITHDRAWAL and status is RunStatus.SUCCEEDED:
            await withdrawals.note_duration(self._hub, self._run)

    def _tell_end(self, status: RunStatus, failure: Problem | None) -> None:
        self._hub.signals.run_ended.ring()
        metrics.RUNS.labels(status.value, self._run.cause.value).inc()
        self._log.info("run ended", status=status.value, code=failure.code.value if failure else None)

    def _note(self, kind: MomentKind, people: int | None = None) -> None:
        if self._recorder:
            self._recorder.note(kind, people)

    async def _note_drained(self) -> None:
        self._note(MomentKind.DRAINED)
        await self.save_history(last=True)

    async def _move(self, status: RunStatus) -> None:
        runs, now = self._hub.store.runs, self._hub.clock.now()
        self._run = await runs.set_status(self._run.id, status, now=now, fence=self._claim.fence)

    async def _keep(self, plan: dict[str, Any]) -> None:
        """How the machine ended is kept before anything follows from it, so that a crash does not lose it."""
        run = self._run
        told: dict[str, Any] = {"watermark": run.watermark or 0, "counts": run.counts, "withheld": run.withheld}
        self._run = await self._hub.store.runs.save_plan(run.id, plan, **told, fence=self._claim.fence)

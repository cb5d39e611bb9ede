"""The hub around the machine: plans, lanes, settling, sweeps and repeats, and a process that may die at any moment.

Planning and settling are the naive model that the set operations in SQL are held against (`planning_model`); the order
of things is that of `hub.services` (course, withdrawals, reactions). The machine itself is the product's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from random import Random

from hub.core.delivery.jobs import Followed
from hub.core.delivery.messages import Answer, DrainRequested, Ended, Finish, Limits, OpenJob
from hub.core.delivery.rows import Row
from hub.core.planning import Fate, Op, PlanRequest, Scope
from hub.core.records import Lens, SyncMode
from hub.sdk.contract import Result
from tests.simulation.course import Course, KeysInFlight, Line, Run
from tests.simulation.job_vendor import Jobs
from tests.simulation.town import PURPOSE, Timeline, Town
from tests.simulation.vendors import IN_FLIGHT_S, JOB_S, Request, Said, Vendor
from tests.warehouse import planning_model as model

WHOLE = frozenset({Scope.ALL, Scope.RETRY_REJECTED})
REST_S = 45.0
CALM_ROUNDS = 6


class Hub:
    """Durable: `held`, `runs`, `active` and `queued`. Everything else is lost with the process."""

    def __init__(
        self,
        random: Random,
        timeline: Timeline,
        town: Town,
        vendor: Vendor,
        limits: Limits,
        attempts: int,
        mode: SyncMode,
    ) -> None:
        self.random, self.timeline, self.clock = random, timeline, timeline.clock
        self.town, self.vendor, self.limits = town, vendor, limits
        self._attempts, self._mode = attempts, mode
        self.held: model.Ledger = {}
        self.runs: list[Run] = []
        self.logged = 0
        self.active: dict[bool, Run] = {}
        self.queued: dict[bool, Scope] = {}
        self.process = 0
        self.up = True
        self.paused = False
        self.keys = KeysInFlight()
        self.courses: dict[bool, Course] = {}
        self.all_courses: list[Course] = []
        self.open: list[Request] = []
        self.missed = False
        self.rounds_left: int | None = None
        self.story: list[str] | None = None

    def note(self, *words: object) -> None:
        if self.story is not None:
            self.story.append(f"{self.clock.now:9.2f} {' '.join(map(str, words))}")

    def soon(self, seconds: float, do: Callable[[], None]) -> None:
        """Only this process does it: if it dies before, nobody does."""
        self.timeline.later(seconds, partial(self._if_alive, self.process, do))

    def _if_alive(self, process: int, do: Callable[[], None]) -> None:
        if process == self.process and self.up:
            do()

    def delay(self, failures: int, retry_after: float | None) -> float | None:
        if failures >= self._attempts:
            return None
        return (retry_after or 0.0) + self.random.uniform(0, 2.0**failures)

    def pause(self, polls: int, retry_after: float | None) -> float:
        return (retry_after or 0.0) + self.random.uniform(0, min(60.0, 2.0 ** min(polls, 10)))

    def asked_after_until(self) -> datetime | None:
        return self.clock.wall() + timedelta(seconds=JOB_S) if self.vendor.follows else None

    def request(self, scope: Scope) -> PlanRequest:
        now = self.clock.wall()
        return PlanRequest(
            len(self.runs), 1, 1, Lens.LIVE, (PURPOSE,), self._mode, self.town.key, (), scope, now, audience="vip"
        )

    # What is queued, and when.

    def ask(self, scope: Scope) -> None:
        lane = scope is Scope.WITHDRAWN
        if not (scope is Scope.REPEAT and lane in self.queued) and self.queued.get(lane) is not Scope.RETRY_REJECTED:
            self.queued[lane] = scope
        self.soon(0.01, partial(self._claim, lane))

    def _claim(self, lane: bool) -> None:
        if lane in self.active or lane not in self.queued or self.paused:
            return
        run = Run(len(self.runs) + 1, self.queued.pop(lane))
        self.runs.append(run)
        self.active[lane] = run
        self.soon(self.random.uniform(0, 1), partial(self._plan, run))

    def decide(self, scope: Scope) -> tuple[PlanRequest, dict[model.Row, int]]:
        request = self.request(scope)
        held = self.held
        if scope is Scope.REPEAT:
            known = {key: model.standing(one) for key, one in held.items()}
            held = {key: held[key] for key, one in known.items() if one.again == "remove" and _due(one, request)}
        return request, model.plan(self.town.people, held, request)

    def steps(self, scope: Scope) -> list[model.Row]:
        return [row for row in self.decide(scope)[1] if row[2] in {"add", "update", "remove"}]

    def sweep(self) -> None:
        if True in self.active or True in self.queued:
            return
        if False in self.active:
            self._fold()
        if any(one.fingerprint is not None for one in self._standing()) and self.steps(Scope.WITHDRAWN):
            self.ask(Scope.WITHDRAWN)

    def _standing(self) -> list[model.Held]:
        return [model.standing(one) for one in self.held.values()]

    def feed(self) -> None:
        if False in self.active or False in self.queued:
            self.missed = True
        elif self.steps(Scope.ALL):
            self.ask(Scope.ALL)

    def changed(self) -> None:
        """Consent or people have changed."""
        if self.up:
            self.sweep()
            self.soon(1.0, self.sweep)
            self.feed()

    def look_again(self) -> None:
        """What the worker does every so often by itself."""
        if self.rounds_left is not None:
            self.rounds_left -= 1
        if self.rounds_left is None or self.rounds_left >= 0:
            self.sweep()
            self.feed()

    def _mind_repeats(self) -> None:
        """Whenever a late operation can no longer land, see to what it may have undone."""
        dues = [one.late_until for one in self._standing() if one.again is not None and one.late_until is not None]
        if dues:
            self.soon((min(dues) - self.clock.wall()).total_seconds() + 1.0, self._repeat)

    def _repeat(self) -> None:
        if not any(one.again and _due(one, self.request(Scope.ALL)) for one in self._standing()):
            self._mind_repeats()
        elif self.steps(Scope.REPEAT):
            self.ask(Scope.REPEAT)
        else:
            self.feed()

    # The course of a run.

    def _plan(self, run: Run) -> None:
        run.request, planned = self.decide(run.scope)
        run.request = replace(run.request, run=run.number)
        run.planned = model.Counter(planned)
        told = [row for row in run.planned if row[2] in list(Op)]
        told.sort(key=lambda row: (row[3] != "withdrawn", row[0], str(row[1])))
        run.rows = tuple(Row(n, row[0], str(row[1]), Op(row[2])) for n, row in enumerate(told, 1))
        self.note("run", run.number, run.scope, "planned", told)
        self.soon(self.random.uniform(0, 1), partial(self._deliver, run, 0, []))

    def _deliver(self, run: Run, attempts_before: int, jobs: list[Followed]) -> None:
        course = Course(self, run, attempts_before, jobs)
        self.courses[run.scope is Scope.WITHDRAWN] = course
        self.all_courses.append(course)
        course.start()
        if run.cancelled:
            course.cancel()

    def ask_vendor(self, run: Run, said: tuple[Said, ...]) -> tuple[Request, float, Answer]:
        reaction = self.vendor.receive(said)
        request = Request(run.number, self.clock.now, said, reaction.arrived, words=reaction.words)
        self.vendor.requests.append(request)
        self.open.append(request)
        if isinstance(self.vendor, Jobs) and isinstance(reaction.answer, Result) and self.vendor.follows:
            self.vendor.submitted(reaction.answer, request)
        for seconds, one in reaction.effects:
            self.timeline.later(seconds, partial(self._take_effect, one))
        return request, reaction.seconds, reaction.answer

    def _take_effect(self, one: Said) -> None:
        self.note("at the vendor:", one)
        self.vendor.apply(one)

    def ask_after(self, job: OpenJob, keys: list[str]) -> Answer:
        assert isinstance(self.vendor, Jobs)
        answer = self.vendor.poll(job.id, keys, self.clock.now)
        self.note(job.id, "is asked after:", answer)
        return answer

    def heard(self, request: Request) -> None:
        self.open.remove(request)
        request.ended, request.answered = self.clock.now, True

    def append(self, run: Run, lines: list[tuple[Row, int, Fate, OpenJob | None]]) -> None:
        for row, attempt, fate, job in lines:
            self.logged += 1
            run.lines.append(Line(row, attempt, fate, self.clock.now, job, self.logged))

    def finished(self, run: Run, finish: Finish) -> None:
        self.note("run", run.number, finish)
        if finish.ended is not Ended.DRAINED:
            self.soon(self.random.uniform(0, 0.2), partial(self._keep, run, finish))

    def _keep(self, run: Run, finish: Finish) -> None:
        run.finish = finish
        self.soon(self.random.uniform(0, 0.5), partial(self._settle, run))

    def _settle(self, run: Run) -> None:
        assert run.request is not None and run.finish is not None
        if run.finish.ended is Ended.AUTH:
            self.paused = True
            self.timeline.later(self.random.uniform(20, 200), self._resume)
        self._fold()
        model.end(self.held, run.planned, run.request, self.clock.wall())
        run.ended = True
        lane = run.scope is Scope.WITHDRAWN
        del self.active[lane]
        self.courses.pop(lane, None)
        self.note("settled:", self.held)
        self._after(run)

    def _fold(self) -> None:
        """What the runs under way have reached so far, each line once and in the order of the log."""
        folded: set[str] = set()
        fresh = sorted((line.seq, run.number, line) for run in self.active.values() for line in run.news())
        for _, number, line in fresh:
            folded |= model.fold(self.held, self._told(self.runs[number - 1], line), self._lands_within())
        model.tidy(self.held, folded, self.clock.wall())

    def _told(self, run: Run, line: Line) -> model.Told:
        payload, until = line.row.fingerprint if line.row.op.adds else None, line.job and line.job.until
        since = run.submitted_at(line)
        about = {"until": until, "since": since and self.clock.wall(since), "beside": run.scope is Scope.WITHDRAWN}
        return model.Told(line.row, line.fate, self.clock.wall(line.at), payload, **about)

    def _lands_within(self) -> timedelta:
        """An answer that never came may have named a job."""
        return timedelta(seconds=JOB_S if self.vendor.follows else IN_FLIGHT_S)

    def _after(self, run: Run) -> None:
        self.sweep()
        if self.missed:
            self.missed = False
            self.feed()
        if len(run.latest()) < len(run.rows) or not all(fate.final for fate in run.latest().values()):
            self.soon(REST_S, self.look_again)
        self._mind_repeats()
        for lane in (True, False):
            self._claim(lane)

    def _resume(self) -> None:
        self.paused = False
        if self.up:
            self._take_up()

    # The end of a process, and the next one.

    def die(self) -> None:
        self.note("the process dies")
        self.up = False
        self.process += 1
        for request in self.open:
            request.ended = self.clock.now
        self.open.clear()
        self.keys, self.courses, self.missed = KeysInFlight(), {}, False
        self.timeline.later(self.random.choice([0.0, 1.0, 40.0]), self._come_up)

    def drain(self) -> None:
        for course in list(self.courses.values()):
            course.tell(DrainRequested())
        self.soon(8.0, self.die)

    def cancel(self) -> None:
        if course := self.courses.get(False):
            course.cancel()

    def _come_up(self) -> None:
        self.up = True
        for run in list(self.active.values()):
            self._take_over(run)
        self._take_up()

    def _take_up(self) -> None:
        for lane in (True, False):
            self._claim(lane)
        self.sweep()
        self.feed()
        self._mind_repeats()

    def _take_over(self, run: Run) -> None:
        if run.request is None:
            self._plan(run)
        elif run.finish:
            self._settle(run)
        else:
            before = max((line.attempt for line in run.lines), default=0)
            self.append(run, [(row, before, Fate.UNKNOWN, None) for row in self.doubtful(run)])
            self._deliver(run, before, run.open_jobs())

    def doubtful(self, run: Run) -> list[Row]:
        """Whom the process that died may have reached: rows are begun in order, only so many of them unlogged."""
        latest = run.latest()
        unlogged = [row.position for row in run.rows if row.position not in latest]
        most = self.limits.people_in_doubt
        horizon = unlogged[most - 1] if len(unlogged) >= most else len(run.rows)
        done = run.over()
        return [row for row in run.rows if row.position <= horizon and row.position not in done]


def _due(one: model.Held, request: PlanRequest) -> bool:
    return one.late_until is not None and one.late_until <= request.now

"""Listens to a run at work and remembers what an admin may ask about it, without anybody's data.

Taking note of a request costs microseconds; rows are written in bulk, about every other second and at the end. Of a
process that dies, at most what it had not written yet is missing, and which requests were its last.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from time import perf_counter
from typing import Any

import orjson

from hub.core.delivery.messages import Answer
from hub.core.history import Kept, Moment, MomentKind, Request, Traffic, step_of
from hub.core.shapes import Vocabulary, shape, template
from hub.sdk.contract import Connector, OutcomeKind, Result
from hub.sdk.errors import TransientError
from hub.sdk.exchanges import Exchange, listener
from hub.services.hub import Hub
from hub.services.vocabulary import vocabulary_of
from hub.store.history import Page
from hub.store.runs import Claim

MOST_FIRST = MOST_FAILED = MOST_LAST = 100
# Bodies beyond this are looked into only for the first few requests, and the first few that failed.
SMALL = 16_384
FEW = 5
# A vendor that throttles does so again and again: each kind of trouble is noted this seldom, and this often at most.
TROUBLE_S = 60.0
MOST_TROUBLES = 50
OPEN = frozenset({OutcomeKind.RETRY, OutcomeKind.UNKNOWN})

_recorder: ContextVar[Recorder | None] = ContextVar("recorder", default=None)
_attempt: ContextVar[tuple[int, int]] = ContextVar("attempt", default=(1, 0))


class Recorder:
    """Of one process's work on a run, beginning from the `traffic` of those before."""

    def __init__(self, hub: Hub, claim: Claim, known: Vocabulary, traffic: Traffic) -> None:
        self._hub = hub
        self._claim = claim
        self._known = known
        self._requests, self._failed, self._retries = traffic.requests, traffic.failed, traffic.retries
        self._people, self._seconds = traffic.people, traffic.seconds
        self._durations = Counter(traffic.durations)
        self._began: float | None = None
        self._fresh: list[Request] = []
        self._last: deque[Request] = deque(maxlen=MOST_LAST)
        self._moments: list[Moment] = []
        self._troubles: dict[MomentKind, datetime] = {}
        self._troubles_noted = 0
        self._saved = traffic
        self._saving = asyncio.Lock()

    @classmethod
    async def of(cls, hub: Hub, claim: Claim, connector: Connector[Any], fields: Iterable[str]) -> Recorder:
        """Going on where the process before left off; `fields` are those that the admin mapped."""
        known = vocabulary_of(type(connector)).with_keys(fields)
        return cls(hub, claim, known, await hub.store.history.traffic(claim.run.id))

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While the run is being delivered, in this task and those it starts."""
        heard, recording = listener.set(self.hear), _recorder.set(self)
        self._began = perf_counter()
        try:
            yield
        finally:
            self._seconds, self._began = self._seconds_so_far(), None
            listener.reset(heard)
            _recorder.reset(recording)

    @property
    def traffic(self) -> Traffic:
        counts = (self._requests, self._failed, self._retries, self._people)
        return Traffic(*counts, self._seconds_so_far(), dict(self._durations))

    def hear(self, exchange: Exchange) -> None:
        attempt, people = _attempt.get()
        failed = exchange.error is not None
        self._requests += 1
        self._failed += failed
        self._retries += attempt > 1
        self._durations[step_of(exchange.seconds * 1000)] += 1
        kept = self._reason_to_keep(failed=failed)
        request = self._request(exchange, kept, attempt, people)
        (self._last if kept is Kept.LAST else self._fresh).append(request)

    def answered(self, answer: Answer, people: int) -> None:
        """An attempt about so many people has led to this."""
        match answer:
            case Result():
                self._people += _with_an_answer(answer, people)
            case TransientError():
                throttled = answer.retry_after is not None
                kind = MomentKind.THROTTLED if throttled else MomentKind.BACKED_OFF
                self._note_trouble(Moment(kind, self._hub.clock.now(), people, answer.retry_after))

    def note(self, kind: MomentKind, people: int | None = None) -> None:
        self._moments.append(Moment(kind, self._hub.clock.now(), people))

    async def save(self, *, last: bool = False) -> None:
        """Write down what is new; with `last`, which requests were the last ones too. Raises LeaseLost."""
        async with self._saving:
            traffic, fresh, moments = self.traffic, self._fresh, self._moments
            latest = list(self._last) if last and self._last else None
            if not (fresh or moments or latest or traffic != self._saved):
                return
            self._fresh, self._moments = [], []
            try:
                page = Page(traffic, moments, fresh, latest)
                await self._hub.store.history.add(self._claim.run.id, page, fence=self._claim.fence)
            except BaseException:  # a cancel too: what is not written down is kept for the next time
                self._fresh, self._moments = fresh + self._fresh, moments + self._moments
                raise
            self._saved = traffic
        if last and self._claim.run.sync_id:
            await self._hub.store.history.prune(self._claim.run.sync_id, self._hub.clock.now())

    def _seconds_so_far(self) -> float:
        return self._seconds + (perf_counter() - self._began if self._began is not None else 0.0)

    def _reason_to_keep(self, *, failed: bool) -> Kept:
        if failed and self._failed <= MOST_FAILED:
            return Kept.FAILED
        return Kept.FIRST if self._requests <= MOST_FIRST else Kept.LAST

    def _request(self, exchange: Exchange, kept: Kept, attempt: int, people: int) -> Request:
        answer, endpoint = exchange.response, exchange.endpoint
        closely = self._requests <= FEW or (kept is Kept.FAILED and self._failed <= FEW)
        return Request(
            number=self._requests,
            kept=kept,
            at=self._hub.clock.now(),
            method=exchange.method[:20],
            url=f"{endpoint.host}{template(endpoint.rest, self._known)}",
            status=answer.status if answer else None,
            error=exchange.error,
            duration_ms=round(exchange.seconds * 1000, 1),
            attempt=attempt,
            people=people,
            sent=self._shape(exchange.body, closely=closely),
            received=self._shape(answer.body if answer else None, closely=closely),
            sent_bytes=exchange.sent_bytes,
            received_bytes=len(answer.body) if answer else 0,
        )

    def _shape(self, body: Any, *, closely: bool) -> str | None:
        if isinstance(body, bytes):
            if not body or (len(body) > SMALL and not closely):
                return None
            try:
                body = orjson.loads(body)
            except orjson.JSONDecodeError:
                return None
        return None if body is None else shape(body, self._known)

    def _note_trouble(self, moment: Moment) -> None:
        before = self._troubles.get(moment.kind)
        lately = before is not None and (moment.at - before).total_seconds() < TROUBLE_S
        if not lately and self._troubles_noted < MOST_TROUBLES:
            self._troubles[moment.kind] = moment.at
            self._troubles_noted += 1
            self._moments.append(moment)


def attempting(attempt: int, people: int = 0) -> None:
    """What this task asks from now on is the attempt of that number, from 1, about so many people."""
    _attempt.set((attempt, people))


def answered(answer: Answer, people: int = 0) -> None:
    """The attempt has led to this."""
    if recorder := _recorder.get():
        recorder.answered(answer, people)


def _with_an_answer(result: Result, people: int) -> int:
    """How many have a final answer; who is named twice over is no reason to count wrongly below nobody."""
    if result.rest is OutcomeKind.UNKNOWN or result.job is not None:
        return min(people, sum(outcome.kind not in OPEN for outcome in result.outcomes.values()))
    return max(0, people - sum(outcome.kind in OPEN for outcome in result.outcomes.values()))

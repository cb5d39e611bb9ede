"""The worker's watch over the syncs: looks at each after its runs and twice a minute, and takes the notices out.

A notice is tried until it has been told or is three days old, ever less often, each channel by itself and in order.
Whoever dies between telling and noting it tells it again: receivers know a repeat by its id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

import structlog

from hub.core.alerts.channel import AlertChannel
from hub.core.records import Run
from hub.errors import ErrorCode, HubError, Problem
from hub.logs import where
from hub.sdk.errors import ConnectorError, TransientError
from hub.sdk.http import Http
from hub.services import health, metrics, telling
from hub.services.hub import Hub
from hub.services.mail import PartlyRefused
from hub.services.reactions import apart
from hub.services.retry import RetryPolicy
from hub.store.alerts import Waiting

ROUND_S = 30.0
POLL_S = 5.0
# Longer than any one try may take.
LEASE_S = 120.0
GIVEN_UP_AFTER = timedelta(days=3)
SHORTEST_REST_S = 1.0
# How long a notice is tried is a matter of its age alone.
PATIENT = RetryPolicy(attempts=1_000_000, first_s=5.0, most_s=900.0)

log = structlog.get_logger()


class Alarm:
    """`steps` are to be run over and over, side by side; `after` is to be told of every run that a worker lets go."""

    def __init__(self, hub: Hub, policy: RetryPolicy = PATIENT) -> None:
        self._hub = hub
        self._policy = policy
        self._http = Http(hub.egress)
        self.steps: tuple[Callable[[], Awaitable[None]], ...] = (self.on_round, self.on_notices)

    async def close(self) -> None:
        await self._http.aclose()

    async def after(self, run: Run) -> None:
        sync = await self._hub.store.syncs.find(run.sync_id) if run.sync_id else None
        if sync:
            with apart(sync):
                await health.look(self._hub, sync)

    async def on_round(self) -> None:
        for sync in await self._hub.store.syncs.all():
            with apart(sync):
                await health.look(self._hub, sync)
        await asyncio.sleep(ROUND_S)

    async def on_notices(self) -> None:
        """Tell what is to be told, then wait for more."""
        noticed = self._hub.signals.noticed
        noticed.clear()
        while due := await self._hub.store.alert_notices.due(self._hub.clock.now()):
            await asyncio.gather(*(self._take_out(waiting) for waiting in due))
        # Not `wait_for`, which may swallow a cancellation in Python 3.11.
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_S):
                await noticed.wait()

    async def _take_out(self, waiting: Waiting) -> None:
        notices, channels = self._hub.store.alert_notices, self._hub.store.alert_channels
        if not await notices.claim(waiting, self._hub.clock.now(), LEASE_S):
            return
        if waiting.channel_id is None:
            telling.write_down(waiting.notice)
            await notices.done(waiting.id)
        elif channel := await channels.find(waiting.channel_id):
            await self._try(waiting, channel)

    async def _try(self, waiting: Waiting, channel: AlertChannel) -> None:
        hub, retry_after = self._hub, None
        problem: Problem | None = None
        told = False
        try:
            await telling.tell(hub, self._http, channel, waiting.notice)
            told = True
        except (ConnectorError, HubError) as error:
            problem, told = telling.problem_of(error), isinstance(error, PartlyRefused)
            retry_after = error.retry_after if isinstance(error, TransientError) else None
        except Exception as error:  # noqa: BLE001 - one channel must not keep the others from hearing
            log.error("notice stumbled", channel=channel.key, error_type=type(error).__name__, where=where(error))
            problem = Problem(ErrorCode.INVALID, "It failed for a reason inside the hub: see its log.")
        metrics.NOTICES.labels(channel.kind.value, "told" if told else "failed").inc()
        await hub.store.alert_channels.note(channel.id, hub.clock.now(), problem)
        await (hub.store.alert_notices.done(waiting.id) if told else self._later(waiting, channel, retry_after))

    async def _later(self, waiting: Waiting, channel: AlertChannel, retry_after: float | None) -> None:
        now, notices = self._hub.clock.now(), self._hub.store.alert_notices
        about = {"notice": waiting.notice.id, "channel": channel.key, "sync": waiting.notice.sync}
        if now - waiting.created_at >= GIVEN_UP_AFTER:
            log.error("notice given up", attempts=waiting.attempts + 1, **about)
            await notices.done(waiting.id)
            return
        rest = max(self._policy.delay(waiting.attempts + 1, retry_after) or 0.0, SHORTEST_REST_S)
        log.warning("notice not told yet", attempt=waiting.attempts + 1, **about)
        await notices.try_again(waiting.id, now + timedelta(seconds=rest))

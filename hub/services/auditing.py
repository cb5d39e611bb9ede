"""An audit at work: the vendor's list of members is read page by page, and then held against the ledger at once.

A process that dies in the middle leaves nothing settled: the next one reads the list from its beginning.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import structlog

from hub.core.audits import Audit
from hub.core.delivery.messages import Ended, Finish
from hub.core.history import MomentKind
from hub.core.planning import PlanRequest
from hub.core.records import RunCause, Sync
from hub.core.scopes import Scope
from hub.failpoints import failpoint
from hub.sdk.contract import Audience, Capabilities, Page
from hub.services import metrics, plans
from hub.services.endings import Halted
from hub.services.errands import Errands
from hub.services.hold import Hold
from hub.services.hub import Hub
from hub.services.projection import catch_up
from hub.services.recorder import Recorder
from hub.services.vendors import AnyConnector
from hub.warehouse import audit
from hub.warehouse.audit import Listing

# So many names are written at a time.
BATCH = 10_000

log = structlog.get_logger()


def can_audit(capabilities: Capabilities) -> bool:
    return capabilities.read_back or capabilities.counts


class Auditing:
    """`await carry_out(sync)` for the run that is held."""

    def __init__(self, hub: Hub, hold: Hold, errands: Errands, connector: AnyConnector, recorder: Recorder) -> None:
        self._hub = hub
        self._run = hold.claim.run
        self._engine = hold.engine
        self._errands = errands
        self._connector = connector
        self._recorder = recorder

    async def carry_out(self, sync: Sync) -> Audit:
        """What the run's audit finds, or has found before; what a REPAIR is for is queued. Raises Halted where the
        vendor cannot be asked, and then nothing has changed."""
        found = await asyncio.to_thread(audit.audit_of, self._hub.engine, self._run.id)
        if found is None:
            request = await plans.request_of(self._hub, self._run, sync, self._connector.limits())
            with metrics.timed("audit"), self._recorder.listening():
                found = await self._ask(request)
            self._recorder.note(MomentKind.AUDITED, found.drift)
        await self._mend(sync, found)
        return found

    async def _ask(self, request: PlanRequest) -> Audit:
        insist = self._errands.insist_unless_ended
        audience = await insist(lambda: self._connector.ensure_audience(request.audience))
        found = await (self._listed if self._connector.limits().read_back else self._counted)(request, audience)
        log.info("audited", run=request.run, members=found.members, drift=found.drift)
        return found

    async def _listed(self, request: PlanRequest, audience: Audience) -> Audit:
        try:
            listing = await self._read(request, audience)
        except Halted:
            await asyncio.to_thread(audit.begin, self._engine, request.sync)
            raise
        await catch_up(self._hub)
        failpoint("before_audit_settle")
        found = await asyncio.to_thread(audit.compare, self._engine, request, listing, self._hub.clock.now())
        failpoint("after_audit_settle")
        return found

    async def _counted(self, request: PlanRequest, audience: Audience) -> Audit:
        began = self._hub.clock.now()
        members = await self._errands.insist_unless_ended(lambda: self._count(audience))
        return await asyncio.to_thread(audit.count_only, self._engine, request, members, began, self._hub.clock.now())

    async def _read(self, request: PlanRequest, audience: Audience) -> Listing:
        listing = Listing(secrets.token_hex(16), self._connector.limits().listed_as, self._hub.clock.now())
        await asyncio.to_thread(audit.begin, self._engine, request.sync)
        note = partial(audit.sight, self._engine, request.sync, request.run, salt=listing.salt)
        names: list[str] = []
        totals: set[int] = set()
        async for page in self._pages(audience):
            names += page.members
            totals |= {page.total} if page.total is not None else set()
            if len(names) >= BATCH or page.next is None:
                await asyncio.to_thread(note, names)
                names = []
        told = await asyncio.to_thread(audit.sighted, self._engine, request.run)
        return replace(listing, steady=totals <= {told})

    async def _pages(self, audience: Audience) -> AsyncIterator[Page]:
        cursors: set[str | None] = set()
        cursor: str | None = None
        while cursor not in cursors:
            cursors.add(cursor)
            page = await self._errands.insist_unless_ended(partial(self._page, audience, cursor))
            failpoint("after_page")
            yield page
            cursor = page.next
            if cursor is None:
                return
        raise Halted(Finish(Ended.CRASHED, "its list of members leads back to itself"))

    async def _page(self, audience: Audience, cursor: str | None) -> Page:
        page = await self._connector.members_page(audience, cursor)
        if not isinstance(page, Page) or not all(isinstance(name, str) for name in page.members):
            raise TypeError("the connector returned something other than a Page")
        return page

    async def _count(self, audience: Audience) -> int:
        members = await self._connector.count(audience)
        if not isinstance(members, int) or members < 0:
            raise TypeError("the connector returned something other than a number of people")
        return members

    async def _mend(self, sync: Sync, found: Audit) -> None:
        """Where people could only be counted, it takes a full run to put that right."""
        if self._run.scope is Scope.REPAIR and (found.drift or found.confirmed):
            scope = Scope.FULL if found.missing is None else Scope.ALL
            await self._hub.store.runs.queue(sync.id, RunCause.MANUAL, now=self._hub.clock.now(), scope=scope)
            self._hub.signals.run_queued.set()

"""A worker's hold on a run: how it is kept, and how what is written and sent under it is kept from outliving it.

A process may sleep through its lease, stopped or swapped out, and wake up believing that it is still at work. So it
asks before anything goes out, unless it has been told lately enough; and the data plane turns its writes away.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from hub.services.hub import Hub
from hub.store.runs import Claim
from hub.warehouse.fence import Fenced

LEASE_S = 20.0
# The rest is for the claim and the question themselves to take.
SURE_SHARE = 0.75


class Hold:
    """`engine` is for whatever the run writes. Both `beat` and `confirm` raise LeaseLost."""

    def __init__(
        self, hub: Hub, claim: Claim, lease_s: float = LEASE_S, clock: Callable[[], float] = monotonic
    ) -> None:
        self.claim = claim
        self.engine = Fenced(hub.engine, claim.run.id, claim.fence, claim.run.sync_id)
        self.lease_s = lease_s
        self._hub = hub
        self._clock = clock
        self._sure_until = clock() + lease_s * SURE_SHARE

    async def beat(self) -> None:
        """Keep the run for another while."""
        asked = self._clock()
        await self._hub.store.runs.heartbeat(self.claim, self.lease_s)
        self._sure_until = asked + self.lease_s * SURE_SHARE

    async def confirm(self) -> None:
        """The run is still this worker's: to be called before anything is sent."""
        if self._clock() >= self._sure_until:
            await self.beat()

"""Batched reading: what many resolvers ask for in one breath becomes one question to a store.

Nothing is kept between breaths: a websocket lives long, and a mutation changes what the next field reads.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Any, Generic, TypeVar

from strawberry.dataloader import DataLoader

from hub.api.context import Context
from hub.api.types.consent import Consent, consents_of
from hub.api.types.profile import Delivery
from hub.core.alerts.channel import AlertChannel
from hub.core.records import Destination, Purpose, Run, Segment, Sync
from hub.errors import ErrorCode, refuse
from hub.store.health import Watched
from hub.warehouse import views

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
R = TypeVar("R")
Found = Callable[[list[K]], Awaitable[Mapping[K, V]]]


class Batched(DataLoader[K, V], Generic[K, V]):
    """Loads by key; whatever `find` does not bring is `missing()`."""

    def __init__(self, find: Found[K, V], missing: Callable[[], Any] = lambda: None) -> None:
        async def load(keys: list[K]) -> list[V]:
            found = await find(list(dict.fromkeys(keys)))
            return [found[key] if key in found else missing() for key in keys]

        super().__init__(load_fn=load, cache=False)

    async def need(self: Batched[K, R | None], key: K) -> R:
        """What must be there; HubError NOT_FOUND when it was deleted meanwhile."""
        found = await self.load(key)
        if found is None:
            raise refuse(ErrorCode.NOT_FOUND, "It was deleted meanwhile: ask again.")
        return found


class Loaders:
    """The loaders of one request, by what they bring."""

    def __init__(self, context: Context) -> None:
        store = context.hub.store
        self._context = context
        self.segments: Batched[int, Segment | None] = Batched(store.segments.by_ids)
        self.destinations: Batched[int, Destination | None] = Batched(store.destinations.by_ids)
        self.syncs: Batched[int, Sync | None] = Batched(store.syncs.by_ids)
        self.runs: Batched[int, Run | None] = Batched(store.runs.by_ids)
        self.purposes: Batched[str, Purpose | None] = Batched(store.purposes.by_keys)
        self.syncs_of_segment: Batched[int, list[Sync]] = Batched(store.syncs.of_segments, list)
        self.syncs_of_destination: Batched[int, list[Sync]] = Batched(store.syncs.of_destinations, list)
        self.healths: Batched[int, Watched | None] = Batched(store.healths.of_syncs)
        self.alert_channels: Batched[int, AlertChannel | None] = Batched(store.alert_channels.by_ids)
        self.notices_waiting: Batched[int, int] = Batched(store.alert_notices.waiting_for, int)
        self.profiles = Batched(self._viewed(views.profiles_by_pid))
        self.memberships = Batched(self._viewed(views.segments_of), list)
        self.delivered = Batched(self._viewed(views.delivered_counts), int)
        self.deliveries = Batched(self._deliveries, list)
        self.consents = Batched(self._consents, list)

    def _viewed(self, view: Callable[..., dict[Any, Any]]) -> Found[Any, Any]:
        async def find(keys: list[Any]) -> Mapping[Any, Any]:
            return await self._context.read(view, keys)

        return find

    async def _deliveries(self, pids: list[int]) -> Mapping[int, list[Delivery]]:
        found = await self._context.read(views.deliveries_of, pids)
        return {pid: [Delivery.of(told) for told in tellings] for pid, tellings in found.items()}

    async def _consents(self, pids: list[int]) -> Mapping[int, list[Consent]]:
        hub = self._context.hub
        linked = await self._context.read(views.subjects_of, pids)
        entries = await hub.store.ledger.for_subjects({subject for known in linked.values() for subject in known})
        purposes = [purpose.key for purpose in await hub.store.purposes.all()]
        return {pid: consents_of(purposes, entries, known, hub.clock.now()) for pid, known in linked.items()}

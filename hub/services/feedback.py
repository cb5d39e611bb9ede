"""What vendors tell us of their own accord: whoever unsubscribed, bounced or complained there withdraws here.

Only ever a permission is taken away. What the vendor knows a person by need not be known to us yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

import structlog

from hub.core.consent_form import ConsentInput, storable, validate
from hub.core.identifiers import EXTERNAL_ID, normalise, subject
from hub.core.records import ConsentAction, Destination
from hub.errors import HubError
from hub.sdk.errors import ConnectorError
from hub.sdk.feedback import Feedback, Inbound, Unverified
from hub.services import metrics
from hub.services.asking import asked
from hub.services.hub import Hub
from hub.services.vendors import AnyConnector, Vendors
from hub.store import NewEntry

__all__ = ["Away", "Heard", "Listener", "Unverified"]

log = structlog.get_logger()


class Away(Exception):  # noqa: N818 - it reads as what happened
    """The notices cannot be understood just now: the vendor is to tell us again."""


@dataclass(frozen=True, slots=True)
class Heard:
    """How many notices stand in the ledger now, also from before, and how many name nobody whom we could know."""

    accepted: int
    unusable: int = 0


class Listener:
    """Hears the vendors of all destinations. Close it when done."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._opened: Vendors | None = None

    async def connector(self, destination: Destination) -> AnyConnector | None:
        """Whoever can read what comes for the destination; None where its vendor tells nothing. Raises Away."""
        self._opened = self._opened or Vendors(self._hub)
        try:
            connector = await self._opened.connect(destination)
        except HubError as error:
            log.error("cannot hear a vendor", destination=destination.key, code=error.code.value)
            raise Away from None
        return connector if connector.limits().feedback else None

    async def hear(self, destination: Destination, connector: AnyConnector, request: Inbound) -> Heard:
        """Have what the request tells in the ledger; it is durable when this returns, and a repeat changes nothing.
        Raises Unverified for a request that is not to be believed, and Away."""
        count = metrics.FEEDBACK.labels
        try:
            told = await asked(partial(self._understood, connector, request))
        except Unverified:
            count(destination.key, "refused").inc()
            log.warning("feedback is not believed", destination=destination.key, connector=connector.key)
            raise
        except ConnectorError as error:
            count(destination.key, "away").inc()
            log.warning("feedback cannot be read yet", destination=destination.key, error_type=type(error).__name__)
            raise Away from None
        # The caller may lose patience; what is begun is brought to its end.
        heard = await asyncio.shield(self._record(destination, told))
        count(destination.key, "accepted").inc(heard.accepted)
        count(destination.key, "unusable").inc(heard.unusable)
        log.info("feedback heard", destination=destination.key, accepted=heard.accepted, rejected=heard.unusable)
        return heard

    async def close(self) -> None:
        if self._opened:
            await self._opened.close()

    async def _understood(self, connector: AnyConnector, request: Inbound) -> Sequence[Feedback]:
        # Megabytes may have to be verified and read, and a stranger's code does it.
        told = await asyncio.to_thread(connector.feedback, request)
        return await connector.recognised(told) if told else told

    async def _record(self, destination: Destination, told: Sequence[Feedback]) -> Heard:
        if not told:
            return Heard(0)
        hub, standing = self._hub, await self._purposes(destination)
        known = await hub.store.purposes.keys()
        entries: list[NewEntry] = []
        unusable = 0
        for notice in told:
            try:
                person = _subject(hub, notice)
            except ValueError:
                unusable += 1
                continue
            purposes = (storable(notice.purpose),) if notice.purpose else standing or known
            entries += self._entries(destination, notice, person, purposes or ("",))
        await self._append(entries)
        return Heard(len(told) - unusable, unusable)

    async def _purposes(self, destination: Destination) -> Sequence[str]:
        """What the destination is used for, unless the notice says which purpose it is about."""
        if destination.feedback_purposes:
            return destination.feedback_purposes
        syncs = (await self._hub.store.syncs.of_destinations([destination.id]))[destination.id]
        return sorted({purpose for sync in syncs for purpose in sync.purposes})

    def _entries(
        self, destination: Destination, notice: Feedback, person: bytes, purposes: Sequence[str]
    ) -> Iterator[NewEntry]:
        now, source = self._hub.clock.now(), f"{destination.connector}:{notice.notice.value}"
        for purpose in purposes:
            said = ConsentInput(purpose, ConsentAction.WITHDRAW, source, effective_at=notice.at)
            told = validate(said, (), now)
            at = told.effective_at if told.effective_at and told.effective_at <= now else now
            evidence = {"destination": destination.key, "notice": notice.notice.value}
            entry_id = _entry_id(destination, notice, person, purpose)
            yield NewEntry(person, told.purpose, told.action, told.source, at, None, evidence, entry_id)

    async def _append(self, entries: Sequence[NewEntry]) -> None:
        """What stands there under its entry id was heard before, even if its time was then told otherwise."""
        ledger = self._hub.store.ledger
        standing = await ledger.protective({entry.entry_id for entry in entries if entry.entry_id})
        fresh = [entry for entry in entries if entry.entry_id not in standing]
        if fresh:
            await ledger.append(fresh, recorded_at=self._hub.clock.now())
            self._hub.signals.consent_changed.set()


def _subject(hub: Hub, notice: Feedback) -> bytes:
    kind = EXTERNAL_ID if notice.kind == "external_id" else notice.kind
    return subject(hub.pepper, kind, normalise(kind, str(notice.value)))


def _entry_id(destination: Destination, notice: Feedback, person: bytes, purpose: str) -> str:
    """The same for the same event, and telling nothing of it; empty where nothing says which event it is: that one
    counts each time, since a grant may have come in between."""
    if not notice.event and notice.at is None:
        return ""
    event = notice.event or (notice.at.isoformat() if notice.at else "")
    parts = (destination.key, notice.notice.value, event, purpose, person.hex())
    told = "|".join(f"{len(part)}:{part}" for part in parts)
    return f"feedback:{sha256(told.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"

"""A person's consent per purpose, with the ledger's entries behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

import strawberry
from strawberry.scalars import JSON

from hub.api.words import says
from hub.core import records
from hub.core.consent import fold

Linked: TypeAlias = Mapping[bytes, datetime]


@strawberry.type(description="One decision, as it stands in the append-only ledger.")
class ConsentEntry:
    action: records.ConsentAction = says("What was decided.")
    source: str = says("Where the decision was taken, such as a form or a call.")
    evidence: JSON | None = says("What proves it, as it was recorded; null if nothing was.")
    effective_at: datetime = says("When the person decided.")
    recorded_at: datetime = says("When the hub learned of it.")
    expires_at: datetime | None = says("Until when a grant holds; null means until it is taken back.")

    @classmethod
    def of(cls, entry: records.ConsentEntry) -> ConsentEntry:
        return cls(
            action=entry.action,
            source=entry.source,
            evidence=JSON(entry.evidence) if entry.evidence else None,
            effective_at=entry.effective_at,
            recorded_at=entry.recorded_at,
            expires_at=entry.expires_at,
        )


@strawberry.type(description="What one person's decisions about one purpose add up to, right now.")
class Consent:
    purpose: str = says("The key of the purpose.")
    state: records.ConsentState = says("Only GRANTED allows sending; UNKNOWN means no.")
    source: str | None = says("Where the decision that stands was taken; null when nothing is on record.")
    recorded_at: datetime | None = says("When the hub learned of that decision; null when nothing is on record.")
    expires_at: datetime | None = says("Until when the grant holds; null means until it is taken back.")
    history: list[ConsentEntry] = says("Every entry about this purpose, newest first.")

    @classmethod
    def of(cls, purpose: str, entries: Sequence[records.ConsentEntry], linked_at: Linked, now: datetime) -> Consent:
        """The fold of the entries about `purpose`, read at `now`; see `hub.core.consent`."""
        standing = fold(entries, linked_at)
        stands = next((entry for entry in entries if entry.seq == standing.seq), None)
        newest_first = sorted(entries, key=lambda entry: entry.seq, reverse=True)
        return cls(
            purpose=purpose,
            state=standing.at(now),
            source=stands.source if stands else None,
            recorded_at=stands.recorded_at if stands else None,
            expires_at=standing.expires_at,
            history=[ConsentEntry.of(entry) for entry in newest_first],
        )


def consents_of(
    purposes: Iterable[str], entries: Iterable[records.ConsentEntry], linked_at: Linked, now: datetime
) -> list[Consent]:
    """One person's consent for each of `purposes`, and for whatever else the ledger holds about them."""
    told: dict[str, list[records.ConsentEntry]] = {purpose: [] for purpose in purposes}
    for entry in entries:
        if entry.subject in linked_at:
            told.setdefault(entry.purpose, []).append(entry)
    return [Consent.of(purpose, about, linked_at, now) for purpose, about in told.items()]

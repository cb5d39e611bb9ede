"""What a person allows: the fold of their ledger entries into a standing per purpose, and the decision drawn from it.

Only a standing grant says yes. Unknown, denied, withdrawn, expired and unreadable all say no.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile

from hub.core.records import ConsentAction, ConsentEntry, ConsentState


@dataclass(frozen=True, slots=True)
class ConsentStanding:
    """What a person's ledger says about one purpose. `state` is never EXPIRED, which takes a clock to tell: see `at`.

    `seq` names the entry that decided: the last grant, or the denial that stands.
    """

    state: ConsentState
    since: datetime | None = None
    expires_at: datetime | None = None
    seq: int | None = None

    def at(self, now: datetime) -> ConsentState:
        """The state at `now`; a grant has lapsed from the very instant of `expires_at`."""
        lapsed = self.expires_at is not None and self.expires_at <= now
        return ConsentState.EXPIRED if self.state is ConsentState.GRANTED and lapsed else self.state


UNHEARD = ConsentStanding(ConsentState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Decision:
    """`allowed_until` is the first instant at which the permission lapses by itself; None means not by itself."""

    allowed: bool
    allowed_until: datetime | None
    reason: str


def fold(entries: Iterable[ConsentEntry], linked_at: Mapping[bytes, datetime]) -> ConsentStanding:
    """The standing of one person for one purpose.

    `entries` are about that purpose, in any order; `linked_at` says since when each subject has been known to be this
    person, and an entry of any other subject is not heard. The last word wins, by `rank`. Where the person's subjects
    disagree, a denial stands until a grant that outranks every denial and was recorded after the last link.
    """
    heard = sorted((entry for entry in entries if entry.subject in linked_at), key=rank, reverse=True)
    after_denials = list(takewhile(is_grant, heard))
    lifted_by = _lifting(heard, after_denials, linked_at)
    if lifted_by is not None:
        return _granted(after_denials[: lifted_by + 1])
    return _denied(heard[len(after_denials)]) if heard else UNHEARD


def standings(entries: Iterable[ConsentEntry], linked_at: Mapping[bytes, datetime]) -> dict[str, ConsentStanding]:
    """The standing of one person for every purpose their ledger speaks of. No purpose ever lends to another."""
    by_purpose: dict[str, list[ConsentEntry]] = {}
    for entry in entries:
        if entry.subject in linked_at:
            by_purpose.setdefault(entry.purpose, []).append(entry)
    return {purpose: fold(told, linked_at) for purpose, told in by_purpose.items()}


def decide(purposes: Sequence[str], standing: Mapping[str, ConsentStanding], now: datetime) -> Decision:
    """Whether someone may be sent for all of `purposes` together. No purpose at all is a no as well."""
    if not purposes:
        return Decision(False, None, "no purpose is given")
    judged = [(purpose, standing.get(purpose, UNHEARD)) for purpose in purposes]
    for purpose, found in judged:
        if (state := found.at(now)) is not ConsentState.GRANTED:
            return Decision(False, None, f"{purpose}: {state}")
    ends = [found.expires_at for _, found in judged if found.expires_at is not None]
    return Decision(True, min(ends, default=None), "granted")


def rank(entry: ConsentEntry) -> tuple[datetime, bool, int]:
    """Later beats earlier, at the same instant a no beats a yes, and between equals the one recorded last wins."""
    return entry.effective_at, not is_grant(entry), entry.seq


def is_grant(entry: ConsentEntry) -> bool:
    return entry.action is ConsentAction.GRANT


def _lifting(
    heard: Sequence[ConsentEntry], after_denials: Sequence[ConsentEntry], linked_at: Mapping[bytes, datetime]
) -> int | None:
    """Where in `after_denials` stands the grant that carries the yes; None where a no stands or nothing was heard."""
    if not _disagree(heard):
        return 0 if after_denials else None
    last_link = max(linked_at[entry.subject] for entry in heard)
    fresh = (place for place, grant in enumerate(after_denials) if grant.recorded_at >= last_link)
    return next(fresh, None)


def _disagree(heard: Sequence[ConsentEntry]) -> bool:
    """Whether the subjects' own last words differ."""
    last_words: dict[bytes, bool] = {}
    for entry in heard:
        last_words.setdefault(entry.subject, is_grant(entry))
    return len(set(last_words.values())) > 1


def _granted(grants: Sequence[ConsentEntry]) -> ConsentStanding:
    # Every grant down to the one that lifts a denial bounds the permission: were the lifting one alone to count, a
    # further denial could pass over a lapsed grant to an open-ended one and so turn a no into a yes.
    ends = [grant.expires_at for grant in grants if grant.expires_at is not None]
    return ConsentStanding(ConsentState.GRANTED, grants[0].effective_at, min(ends, default=None), grants[0].seq)


def _denied(entry: ConsentEntry) -> ConsentStanding:
    withdrawn = entry.action is ConsentAction.WITHDRAW
    state = ConsentState.WITHDRAWN if withdrawn else ConsentState.DENIED
    return ConsentStanding(state, entry.effective_at, None, entry.seq)

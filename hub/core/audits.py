"""What an audit finds: where the vendor's list of members and our ledger of who was delivered disagree."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class DriftKind(StrEnum):
    """How somebody of ours was found. UNWANTED ones are STRANGERs as well."""

    MISSING = "MISSING"
    STRANGER = "STRANGER"
    UNWANTED = "UNWANTED"
    CONFIRMED = "CONFIRMED"
    REFUTED = "REFUTED"


@dataclass(frozen=True, slots=True)
class Audit:
    """`members` are at the vendor, `expected` acknowledged in the ledger. Missing people are acknowledged and not on
    the list; strangers are on it though the ledger knows nothing of it, and `unwanted` are those of them who should not
    be; `unknown_to_us` are on it and nobody we know. Whoever was possibly there is confirmed or refuted.

    Where the vendor only counts, all but the first two are None. `steady`: the list was one and the same from its
    beginning to its end; nobody is refuted by another."""

    run: int
    began_at: datetime
    ended_at: datetime
    members: int
    expected: int
    missing: int | None = None
    strangers: int | None = None
    unwanted: int | None = None
    confirmed: int | None = None
    refuted: int | None = None
    unknown_to_us: int | None = None
    steady: bool = True

    @property
    def drift(self) -> int:
        """About how many people of ours the two disagree; of those who are only counted, at the least."""
        if self.missing is None or self.strangers is None:
            return abs(self.members - self.expected)
        return self.missing + self.strangers

    @property
    def share(self) -> float:
        """The drift as a part of the audience that we expected."""
        return self.drift / self.expected if self.expected else float(bool(self.drift))

"""Whom a run is about."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """Whom a run's plan is about: the whole audience; the same with the refused tried again; the same with everybody
    sent again and every trace removed; only those delivered who may no longer be sent; nobody, so that everyone
    delivered is removed; or only those whose remove must be repeated, since an unanswered add may have landed after it.

    An ERASE belongs to no sync and has no plan: whoever is being erased is erased at the destination. An AUDIT has no
    plan either: it reads back whom the vendor holds. A REPAIR is one that is followed by a run of scope ALL
    where something was found."""

    ALL = "ALL"
    RETRY_REJECTED = "RETRY_REJECTED"
    FULL = "FULL"
    WITHDRAWN = "WITHDRAWN"
    EMPTY = "EMPTY"
    REPEAT = "REPEAT"
    ERASE = "ERASE"
    AUDIT = "AUDIT"
    REPAIR = "REPAIR"

    @property
    def whole(self) -> bool:
        """Whether the plan is about the members at all, or only about those delivered."""
        return self in {Scope.ALL, Scope.RETRY_REJECTED, Scope.FULL}

    @property
    def urgent(self) -> bool:
        """Whether only a vendor's own no may make it wait: withdrawals outrank everything."""
        return self is Scope.WITHDRAWN

    @property
    def audits(self) -> bool:
        """Whether nobody is told anything, and the vendor's members are read back."""
        return self in {Scope.AUDIT, Scope.REPAIR}

    def joined(self, other: Scope) -> Scope:
        """Of two runs that wait in the same place, what one must do to do the work of both."""
        return max(self, other, key=_WORK.index)


# Whoever comes later does all that those before do; an ERASE, which is of no sync, meets only its like.
_WORK = (
    Scope.WITHDRAWN,
    Scope.EMPTY,
    Scope.REPEAT,
    Scope.ALL,
    Scope.RETRY_REJECTED,
    Scope.FULL,
    Scope.AUDIT,
    Scope.REPAIR,
    Scope.ERASE,
)

"""What has come of the refresh tokens of destinations whose vendors give another one at every exchange.

Whoever exchanges one holds it meanwhile, so that no other worker uses what the vendor is just replacing. It is sealed
as a destination's secrets are, and counts only as long as the refresh token that it came from is the configured one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from tortoise.expressions import Q

from hub.core.records import Destination
from hub.errors import HubError
from hub.store import models
from hub.store.database import Database, stored
from hub.store.seal import Keyring


@dataclass(frozen=True, slots=True)
class Kept:
    """`newest` came of `given`, while the destination was at `version`. `sealed` is the row as it was read."""

    given: str | None = field(default=None, repr=False)
    newest: str | None = field(default=None, repr=False)
    version: int = 0
    sealed: str | None = None


class KeptTokens:
    def __init__(self, database: Database, keys: Keyring) -> None:
        self._database = database
        self._keyring = keys

    @stored
    async def hold(self, destination: Destination, holder: str, most_s: float) -> Kept | None:
        """What is kept, this holder's alone for at most so many seconds; None while somebody else holds it."""
        row, _ = await models.KeptToken.get_or_create(destination_id=destination.id)
        now = await self._database.now()
        free = models.KeptToken.filter(Q(held_until=None) | Q(held_until__lte=now), id=row.id)
        if not await free.update(holder=holder, held_until=now + timedelta(seconds=most_s)):
            return None
        return self._kept(destination, await models.KeptToken.get(id=row.id))

    @stored
    async def swap(self, destination: Destination, was: Kept, given: str, newest: str) -> Kept | None:
        """Keep what has come of `given`, unless something else has been kept since `was`; None then."""
        sealed = self._keyring.seal([given, newest], _place(destination))
        rows = models.KeptToken.filter(destination_id=destination.id, sealed=was.sealed)
        if not await rows.update(sealed=sealed, version=destination.version):
            return None
        return Kept(given, newest, destination.version, sealed)

    @stored
    async def let_go(self, destination: Destination, holder: str) -> None:
        held = models.KeptToken.filter(destination_id=destination.id, holder=holder)
        await held.update(holder=None, held_until=None)

    def _kept(self, destination: Destination, row: models.KeptToken) -> Kept:
        try:
            given, newest = self._keyring.open(row.sealed, _place(destination)) if row.sealed else (None, None)
        except HubError:
            # The secret key was lost and the configured secrets were set anew: this one went with the old ones.
            given, newest = None, None
        return Kept(given, newest, row.version, row.sealed)


def _place(destination: Destination) -> tuple[str, str, str]:
    return "kept_token", destination.key, "sealed"

"""A run's writes to a data plane that several processes share: none is made by a process that has lost the run.

Every claim of a run carries a higher fence. The first write under it goes down in `fences`, together with what it
writes; from then on whoever comes with a lower one is turned away, however long it slept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hub.core.leases import LeaseLost
from hub.warehouse.engine import Claimed, Engine, Transaction

DDL = ("CREATE TABLE fences (run BIGINT NOT NULL, fence BIGINT NOT NULL)",)


class Fenced:
    """The engine as one claim of a run may use it, to write about its sync and nothing else; `write` raises LeaseLost
    once there is a later claim."""

    def __init__(self, engine: Engine, run: int, fence: int, sync: int | None = None) -> None:
        self._engine = engine
        self._sync = sync
        self._claim = Claimed(run, fence)
        self.dialect, self.shared, self.folder = engine.dialect, engine.shared, engine.folder
        self.query, self.rows, self.stream, self.rehearse = engine.query, engine.rows, engine.stream, engine.rehearse
        self.copy_to, self.close = engine.copy_to, engine.close

    @property
    def epoch(self) -> int | None:
        return self._engine.epoch

    @contextmanager
    def write(self, sync: int | None = None, under: Claimed | None = None) -> Iterator[Transaction]:
        with self._engine.write(self._sync if sync is None else sync, under or self._claim) as tx:
            if self.shared:
                self._hold(tx)
            yield tx

    def _hold(self, tx: Transaction) -> None:
        # Writers about one sync take turns, so nobody else can be between these.
        known = tx.rows("SELECT max(fence) FROM fences WHERE run = $run", {"run": self._claim.run})[0][0]
        if known is None:
            tx.execute("INSERT INTO fences VALUES ($run, $fence)", self._claim._asdict())
        elif known > self._claim.fence:
            raise LeaseLost("another worker has written for the run")
        elif known < self._claim.fence:
            tx.execute("UPDATE fences SET fence = $fence WHERE run = $run", self._claim._asdict())

"""Writers to a server who sleep over their turn: found by those who wait for it, and ended by them.

A process that is stopped in the middle of a COPY keeps its turn for as long as it sleeps: no timeout of PostgreSQL's
counts while the server reads rows. Its run has an heir once its lease is over, and nobody else may touch it; what is
written for no run, such as an import, has no lease, and lives as long as something comes from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event, Thread, get_ident
from time import monotonic
from typing import Any

import psycopg
import structlog

from hub.warehouse.engine import Claimed
from hub.warehouse.turns import WRITER, claimed_by

# Whoever has waited for so long looks who is in the way, and then so often.
PATIENCE_S, LOOK_S = 0.5, 0.5
# A lease lasts 20 s and a run is to go on within 30 s of its worker's falling asleep, also in the middle of an import.
SILENT_S = 7.0
# A run's writer is its heir's to end. But nobody takes over what is paused, and all others would wait: longer than a
# lease lasts.
SILENT_WITH_A_RUN_S = 30.0

WRITERS = f"""
SELECT a.pid, a.application_name, a.xact_start, a.state IS NULL, a.wait_event = 'ClientRead',
  a.state_change, c.bytes_processed, pg_blocking_pids(a.pid)
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid LEFT JOIN pg_stat_progress_copy c ON c.pid = l.pid
WHERE l.locktype = 'advisory' AND l.classid = {WRITER} AND l.objid = CAST(hashtext(current_schema()) AS OID)
  AND l.objsubid = 2 AND a.datname = current_database()
"""
# Unless it has gone on to something else meanwhile.
END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = %s AND application_name = %s AND xact_start IS NOT DISTINCT FROM %s
"""
ENDED = "ended a writer that was asleep over its turn"
MAY_NOT_END = (
    "may not end a writer that is asleep over its turn: stop its process, and have all hubs use one role of PostgreSQL"
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Writer:
    """A connection that has a turn or waits for one, `behind` others of these. `listening`: the server waits for a word
    of it; when it has `changed` last and how many bytes it has `sent` tell whether one came. `hidden`: it is another
    role's, of which the server tells nothing more."""

    pid: int
    name: str
    began: datetime | None
    hidden: bool
    listening: bool | None
    changed: datetime | None
    sent: int | None
    behind: Sequence[int] = field(compare=False)

    @property
    def claim(self) -> Claimed | None:
        return claimed_by(self.name)


def in_the_way(writers: Sequence[Writer]) -> list[Writer]:
    """Those who do nothing just now, and for whom others wait."""
    waited_for = {pid for writer in writers for pid in writer.behind}
    return [writer for writer in writers if writer.pid in waited_for and (writer.listening or writer.hidden)]


def has_an_heir(one: Writer, writers: Sequence[Writer]) -> bool:
    """Whether somebody waits who has claimed its run since."""
    return one.claim is not None and any(
        other.behind and other.claim and other.claim.run == one.claim.run and other.claim.fence > one.claim.fence
        for other in writers
    )


def too_long(one: Writer, silent_s: float) -> bool:
    return silent_s >= (SILENT_WITH_A_RUN_S if one.claim else SILENT_S)


class Sleepers:
    """What is known of those in the way, look by look."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._silent_since: dict[Writer, float] = {}
        self._dealt_with: set[Writer] = set()

    def look(self) -> None:
        """End whoever has lost its run to one who waits, or has been silent for too long."""
        writers = [Writer(*row) for row in self._connection.execute(WRITERS).fetchall()]
        # Whoever has said anything since the last look is no longer equal to what it was.
        self._silent_since = {one: self._silent_since.get(one, monotonic()) for one in in_the_way(writers)}
        for one, since in self._silent_since.items():
            if has_an_heir(one, writers) or (too_long(one, monotonic() - since) and not one.hidden):
                self._end(one)

    def _end(self, one: Writer) -> None:
        if one in self._dealt_with:
            return
        self._dealt_with.add(one)
        run = one.claim and one.claim.run
        try:
            self._connection.execute(END, (one.pid, one.name, one.began))
            log.warning(ENDED, run=run)
        except psycopg.errors.InsufficientPrivilege:
            log.error(MAY_NOT_END, run=run, code="FORBIDDEN")


class Watch:
    """Looks for sleepers while anybody of this process has waited for a turn for long: on a thread and a connection of
    its own, since all others may be waiting."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]]) -> None:
        self._connect = connect
        self._waiting: dict[int, float] = {}
        self._closing = Event()
        self._thread = Thread(target=self._watch, name="sleepers", daemon=True)
        self._thread.start()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around the wait for a turn."""
        self._waiting[get_ident()] = monotonic()
        try:
            yield
        finally:
            del self._waiting[get_ident()]

    def close(self) -> None:
        self._closing.set()
        self._thread.join(timeout=2 * LOOK_S)

    def _watch(self) -> None:
        while not self._closing.wait(LOOK_S):
            if self._somebody_waits():
                self._look_on()

    def _somebody_waits(self) -> bool:
        return min(tuple(self._waiting.values()), default=monotonic()) <= monotonic() - PATIENCE_S

    def _look_on(self) -> None:
        try:
            with self._connect() as connection:
                sleepers = Sleepers(connection)
                while self._somebody_waits() and not self._closing.is_set():
                    sleepers.look()
                    self._closing.wait(LOOK_S)
        except psycopg.Error as fault:  # whoever waits is told by its own connection
            log.warning("cannot look for sleeping writers", error_type=type(fault).__name__)

"""What the data plane knows of one person who is being erased: where they may be, under which keys, and then nothing.

A person is known by the external id, also where the profile itself has gone before what was delivered of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from hub.again import tried_again
from hub.core.clock import aware
from hub.core.identifiers import EXTERNAL_ID, Pepper, subject_params, subject_sql
from hub.core.planning import PlanRequest
from hub.warehouse.engine import Engine, Reader, Transaction
from hub.warehouse.naming import is_own, names, names_params
from hub.warehouse.profiles import forget


class Trace(NamedTuple):
    """What some syncs hold of a person: `there` says that they may be in an audience; until `landing` (aware) something
    unanswered may still take effect. Of the runs that are not settled, `adding` may put them there, and `naming` say
    anything about them."""

    there: bool
    landing: datetime | None
    adding: tuple[int, ...]
    naming: tuple[int, ...]

    def quiet(self, now: datetime) -> bool:
        """Whether nothing that was begun can put them there any more."""
        return not self.adding and (self.landing is None or self.landing <= now)


def is_known(reader: Reader, external_id: str) -> bool:
    """Whether there is anything to erase."""
    asked = " UNION ALL ".join(f"SELECT 1 FROM {table} WHERE external_id = $id" for table in ("profiles", "delivered"))
    return bool(reader.rows(f"{asked} LIMIT 1", {"id": external_id}))


def called(reader: Reader, people: Collection[bytes], pepper: Pepper) -> dict[bytes, str]:
    """The external ids behind these keyed hashes, of whomever anything is known."""
    hashed = subject_sql(f"'{EXTERNAL_ID}'", "external_id", reader.dialect)
    told = "SELECT external_id FROM profiles UNION SELECT external_id FROM delivered"
    named = f"SELECT {hashed} AS subject, external_id FROM ({told}) AS told"
    wanted = f"SELECT subject, external_id FROM ({named}) AS named WHERE subject IN (SELECT unnest($people))"
    return dict(reader.rows(wanted, {"people": list(people), **subject_params(pepper)}))


def is_granted(reader: Reader, external_id: str) -> bool:
    """Whether there is a yes of theirs to any purpose."""
    granted = "SELECT 1 FROM consent c JOIN profiles p ON p.pid = c.pid WHERE p.external_id = $id AND state = 'GRANTED'"
    return bool(reader.rows(f"{granted} LIMIT 1", {"id": external_id}))


def trace(reader: Reader, external_id: str, syncs: Sequence[int]) -> Trace:
    asked = {"id": external_id}
    held = (
        "SELECT coalesce(bool_or(fingerprint IS NOT NULL), FALSE), max(late_until) FROM standing "
        f"WHERE external_id = $id AND sync IN ({_numbers(syncs)})"
    )
    planned = (
        "SELECT h.run, bool_or(p.op <> 'remove') FROM plan p JOIN plans h ON h.run = p.run WHERE p.external_id = $id "
        f'AND p."position" IS NOT NULL AND h.settled_at IS NULL AND h.sync IN ({_numbers(syncs)}) '
        "GROUP BY h.run ORDER BY h.run"
    )
    [(there, landing)] = reader.rows(held, asked)
    runs = reader.rows(planned, asked)
    return Trace(there, aware(landing), tuple(run for run, adding in runs if adding), tuple(run for run, _ in runs))


def keys(reader: Reader, external_id: str, syncs: Sequence[int], known_by: PlanRequest) -> list[str]:
    """Every key under which a destination may know the person: whatever was sent there, as far as that is kept, and
    whatever their identifiers make as `known_by` asks."""
    sent = (
        f"SELECT key FROM delivered WHERE external_id = $id AND sync IN ({_numbers(syncs)}) UNION "
        "SELECT p.key FROM plan p JOIN plans h ON h.run = p.run "
        f"WHERE p.external_id = $id AND p.key IS NOT NULL AND h.sync IN ({_numbers(syncs)})"
    )
    found = {key for (key,) in reader.rows(sent, {"id": external_id})}
    if is_own(known_by):
        return sorted(found | {external_id})
    held = f"SELECT n.key FROM ({names(reader, known_by)}) n JOIN profiles p ON p.pid = n.pid WHERE p.external_id = $id"
    found |= {key for (key,) in reader.rows(held, {"id": external_id, **names_params(known_by)})}
    return sorted(found)


@tried_again
def forget_deliveries(engine: Engine, external_id: str, syncs: Sequence[int]) -> None:
    """The vendor has erased them: nothing is there any more."""
    with engine.write() as tx:
        tx.execute(
            f"DELETE FROM delivered WHERE external_id = $id AND sync IN ({_numbers(syncs)})", {"id": external_id}
        )


@tried_again
def forget_person(engine: Engine, external_id: str, syncs: Sequence[int], now: datetime) -> bool:
    """Let go of everything about the person, for good; False where they may be somewhere after all, and stay.

    What is left are keyed hashes in the ledger's projection, so that their no is known should they come back.
    """
    with engine.write() as tx:
        found = trace(tx, external_id, syncs)
        if found.there or found.naming or not found.quiet(now):
            return False
        _forget(tx, external_id)
        return True


def _forget(tx: Transaction, external_id: str) -> None:
    known = " UNION ".join(
        f"SELECT pid FROM {table} WHERE external_id = $id" for table in ("profiles", "delivered", "plan")
    )
    tx.execute(f"CREATE TEMP TABLE erased AS {known}", {"id": external_id})
    # The counts of a plan that is not settled still need the row of whoever it withholds.
    tx.execute(
        "UPDATE plan SET pid = 0, external_id = '', key = NULL WHERE external_id = $id AND \"position\" IS NULL "
        "AND run IN (SELECT run FROM plans WHERE settled_at IS NULL)",
        {"id": external_id},
    )
    for table in ("memberships", "outcomes", "drift"):
        tx.execute(f"DELETE FROM {table} WHERE pid IN (SELECT pid FROM erased)")
    for table in ("plan", "delivered"):
        tx.execute(
            f"DELETE FROM {table} WHERE external_id = $id OR pid IN (SELECT pid FROM erased)", {"id": external_id}
        )
    forget(tx, "erased")


def _numbers(ids: Sequence[int]) -> str:
    return ", ".join(str(int(number)) for number in ids) or "NULL"

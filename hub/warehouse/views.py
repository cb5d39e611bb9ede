"""What the data plane shows of people: profiles, members, memberships, what was delivered and what was refused.

Every function blocks and reads one committed snapshot. Lists go by `pid`, which rises in the order in which people
became known; `after` is the last pid of the page before, None to begin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hub.core.planning import Fate, Op
from hub.core.records import Lens, TraitType
from hub.warehouse.engine import Reader


@dataclass(frozen=True, slots=True)
class Person:
    """A profile to be shown: `traits` holds the known ones, in JSON's own types."""

    pid: int
    external_id: str
    traits: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rejected:
    """Somebody whom the vendor refused, in a run or before it; `person` is None once the profile is gone."""

    position: int
    reason: str
    attempts: int
    person: Person | None


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one sync's audience holds of one person: `state` as the delivered ledger names it."""

    sync: int
    state: str
    reason: str | None
    at: datetime
    run: int | None


def profiles(reader: Reader, after: int | None, limit: int) -> list[Person]:
    return _people(reader, "FROM profiles p WHERE p.pid > $after ORDER BY p.pid LIMIT $limit", _window(after, limit))


def count_profiles(reader: Reader) -> int:
    return _count(reader, "SELECT count(*) FROM profiles", {})


def profiles_by_pid(reader: Reader, pids: Sequence[int]) -> dict[int, Person]:
    if not pids:
        return {}
    found = _people(reader, f"FROM profiles p WHERE p.pid IN ({_numbers(pids)})", {})
    return {person.pid: person for person in found}


def profile_by_external_id(reader: Reader, external_id: str) -> Person | None:
    found = _people(reader, "FROM profiles p WHERE p.external_id = $external_id", {"external_id": external_id})
    return found[0] if found else None


def profiles_by_identifier(reader: Reader, kind: str, value: str, limit: int = 100) -> list[Person]:
    """The people who hold a normalised identifier, oldest first."""
    held = "SELECT i.pid FROM identifiers i WHERE i.kind = $kind AND i.value = $value"
    asked = {"kind": kind, "value": value, "limit": limit}
    return _people(reader, f"FROM profiles p WHERE p.pid IN ({held}) ORDER BY p.pid LIMIT $limit", asked)


def members(reader: Reader, segment: int, after: int | None, limit: int) -> list[Person]:
    """The live members of a segment."""
    of = "FROM profiles p JOIN memberships m ON m.pid = p.pid WHERE m.segment = $segment AND m.lens = $lens"
    asked = {"segment": segment, "lens": Lens.LIVE.value, **_window(after, limit)}
    return _people(reader, f"{of} AND p.pid > $after ORDER BY p.pid LIMIT $limit", asked)


def count_members(reader: Reader, segment: int) -> int:
    of = "SELECT count(*) FROM memberships WHERE segment = $segment AND lens = $lens"
    return _count(reader, of, {"segment": segment, "lens": Lens.LIVE.value})


def segments_of(reader: Reader, pids: Sequence[int]) -> dict[int, list[int]]:
    """The segments that each person is a live member of."""
    of = f"SELECT pid, segment FROM memberships WHERE lens = $lens AND pid IN ({_numbers(pids)}) ORDER BY segment"
    found: dict[int, list[int]] = {}
    for pid, segment in reader.rows(of, {"lens": Lens.LIVE.value}):
        found.setdefault(pid, []).append(segment)
    return found


def subjects_of(reader: Reader, pids: Sequence[int]) -> dict[int, dict[bytes, datetime]]:
    """Under which keyed hashes each person's consent may be recorded, and since when each is known to be theirs."""
    of = f"SELECT pid, subject, min(linked_at) FROM identifiers WHERE pid IN ({_numbers(pids)}) GROUP BY pid, subject"
    found: dict[int, dict[bytes, datetime]] = {}
    for pid, subject, linked_at in reader.rows(of):
        found.setdefault(pid, {})[bytes(subject)] = linked_at.replace(tzinfo=UTC)
    return found


def deliveries_of(reader: Reader, pids: Sequence[int]) -> dict[int, list[Delivered]]:
    """What every sync's audience holds of each person, and where they were acknowledged as removed."""
    whose = _numbers(pids)
    held = f'SELECT pid, sync, state, reason, "at", run FROM standing WHERE pid IN ({whose}) ORDER BY sync, "at"'
    found: dict[int, list[Delivered]] = {}
    for pid, sync, state, reason, at, run in [*reader.rows(held), *reader.rows(_REMOVED.format(whose=whose))]:
        found.setdefault(pid, []).append(Delivered(sync, state, reason or None, at.replace(tzinfo=UTC), run))
    return found


def delivered_counts(reader: Reader, syncs: Sequence[int]) -> dict[int, int]:
    """How many people each sync's destination has acknowledged and not yet acknowledged as removed."""
    of = f"SELECT sync, count(*) FROM delivered WHERE state = 'present' AND sync IN ({_numbers(syncs)}) GROUP BY sync"
    return dict(reader.rows(of))


def rejections(reader: Reader, run: int, after: int | None, limit: int) -> list[Rejected]:
    """Whom the vendor refused in a run, by the last answer about each and in the order of the plan; then those who
    were not tried again, since it refused them before with the very same values."""
    page = "WHERE place > $after ORDER BY place LIMIT $limit"
    rows = reader.rows(f"{_REFUSED} SELECT * FROM refused {page}", {"run": run, **_window(after, limit)})
    people = profiles_by_pid(reader, [pid for _, pid, _, _ in rows])
    return [Rejected(position, reason, attempts, people.get(pid)) for position, pid, reason, attempts in rows]


def count_rejections(reader: Reader, run: int) -> int:
    return _count(reader, f"{_REFUSED} SELECT count(*) FROM refused", {"run": run})


# Who was removed has no row in `delivered` any more: the last word about them in the outcomes says so.
_REMOVED = """
WITH words AS (
  SELECT o.run, o.pid, o.op, o.kind, o."at", o.seq FROM outcomes o WHERE o.pid IN ({whose})
  UNION ALL
  SELECT p.run, p.pid, p.op, 'accepted', t."at", t.seq
  FROM plan p JOIN taken t ON t.run = p.run AND p."position" BETWEEN t."position" AND t.upto
  WHERE p.pid IN ({whose})),
last_words AS (SELECT max(o.seq) AS seq, o.pid FROM words o JOIN plans h ON h.run = o.run GROUP BY o.pid, h.sync)
SELECT o.pid, h.sync, 'absent', NULL, o."at", o.run
FROM words o JOIN last_words l ON l.seq = o.seq AND l.pid = o.pid JOIN plans h ON h.run = o.run
WHERE o.op = 'remove' AND o.kind IN ('accepted', 'noop')
  AND NOT EXISTS (SELECT 1 FROM delivered d WHERE d.sync = h.sync AND d.pid = o.pid)
ORDER BY h.sync
"""
# No plan is as long: whoever has no position in it comes after everybody who has one.
_BEYOND_PLANS = 2**40
_REFUSED = f"""
WITH kept AS (SELECT pid, key FROM plan WHERE run = $run AND op = 'rejected'),
before AS (
  SELECT o.key, max(o.seq) AS seq FROM outcomes o JOIN plans h ON h.run = o.run
  JOIN plans own ON own.run = $run AND own.sync = h.sync AND own.audience = h.audience
  WHERE o.run < $run AND o.kind = '{Fate.REJECTED}' AND o.op <> '{Op.REMOVE}' AND o.key IN (SELECT key FROM kept)
  GROUP BY o.key),
refused AS (
  SELECT o."position" AS place, o.pid, o.reason, o.attempt FROM outcomes o
  WHERE o.run = $run AND o.kind = '{Fate.REJECTED}'
  UNION ALL
  SELECT k.pid + {_BEYOND_PLANS}, k.pid, coalesce(o.reason, ''), coalesce(o.attempt, 0) FROM kept k
  LEFT JOIN before b ON b.key = k.key LEFT JOIN outcomes o ON o.seq = b.seq)
"""


def _people(reader: Reader, which: str, params: Mapping[str, Any]) -> list[Person]:
    known = reader.rows("SELECT name, column_name, type FROM traits ORDER BY name")
    columns = "".join(f', p."{column}"' for _, column, _ in known)
    rows = reader.rows(f"SELECT p.pid, p.external_id{columns} {which}", params)
    return [Person(pid, external_id, _traits(known, values)) for pid, external_id, *values in rows]


def _traits(known: Sequence[tuple[str, str, str]], values: Sequence[Any]) -> dict[str, Any]:
    paired = zip(known, values, strict=True)
    return {name: _in_json(kind, value) for (name, _, kind), value in paired if value is not None}


def _in_json(kind: str, value: Any) -> Any:
    if kind == TraitType.DATETIME and isinstance(value, datetime):
        return value.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")
    if kind == TraitType.NUMBER and float(value).is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def _numbers(ids: Sequence[int]) -> str:
    # Of our own making and certainly numbers, so that one statement serves any count of them on every engine.
    return ", ".join(str(int(number)) for number in ids) or "NULL"


def _window(after: int | None, limit: int) -> dict[str, int]:
    return {"after": -1 if after is None else after, "limit": limit}


def _count(reader: Reader, sql: str, params: Mapping[str, Any]) -> int:
    return int(reader.rows(sql, params)[0][0])

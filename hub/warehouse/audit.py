"""The vendor's list of members, held against what is known to be delivered, and what follows from it for the ledger.

People on the list have names in `sightings` that only this audit can make: a hash with a salt that is nowhere kept. So
whoever is not known to us leaves no trace but a number. `audits` has a line for each sync's newest audit, `drift` the
people of ours about whom something was found.

A list proves that somebody is there. It takes nobody for gone whom the vendor has acknowledged: they become `possible`,
so that they are added again, and still removed should they withdraw. Whoever is there unbidden becomes `possible` as
well, which is all it takes to have them removed, or added with their values. What is still under way is left alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from hub.again import tried_again
from hub.core.audits import Audit
from hub.core.clock import naive
from hub.core.planning import PlanRequest
from hub.core.scopes import Scope
from hub.sdk.contract import ListedAs
from hub.warehouse.decision import decision
from hub.warehouse.engine import Engine, Reader, Transaction
from hub.warehouse.naming import is_own, names, names_params
from hub.warehouse.swap import let_go
from hub.warehouse.views import Person, profiles_by_pid

DDL = (
    "CREATE TABLE sightings (sync BIGINT NOT NULL, run BIGINT NOT NULL, name VARCHAR NOT NULL)",
    "CREATE TABLE audits (sync BIGINT NOT NULL, run BIGINT NOT NULL, began_at TIMESTAMP NOT NULL, "
    "ended_at TIMESTAMP NOT NULL, members BIGINT NOT NULL, expected BIGINT NOT NULL, missing BIGINT, "
    "strangers BIGINT, unwanted BIGINT, confirmed BIGINT, refuted BIGINT, unknown_to_us BIGINT, "
    "steady BOOLEAN NOT NULL)",
    "CREATE TABLE drift (sync BIGINT NOT NULL, run BIGINT NOT NULL, kind VARCHAR NOT NULL, pid BIGINT NOT NULL)",
)
TABLES = ("sightings", "audits", "drift")

# Why somebody is `possible` though nothing went unanswered.
NOT_LISTED = "The vendor does not list them."
FOUND_THERE = "The vendor lists them."


@dataclass(frozen=True, slots=True)
class Listing:
    """How a list was read: `salt` makes the names, `began` (aware) is before its first page."""

    salt: str
    listed_as: ListedAs
    began: datetime
    steady: bool = True


@tried_again
def begin(engine: Engine, sync: int) -> None:
    """Forget what an audit of this sync has read that came to no end."""
    with engine.write() as tx:
        tx.execute("DELETE FROM sightings WHERE sync = $sync", {"sync": sync})


@tried_again
def sight(engine: Engine, sync: int, run: int, names: Sequence[str], salt: str) -> None:
    """Note more of the list."""
    hashed = [hashlib.md5((salt + name).encode(), usedforsecurity=False).hexdigest() for name in names]
    alike = [pa.repeat(number, len(hashed)) for number in (sync, run)]
    with engine.write() as tx:
        tx.append("sightings", pa.table([*alike, pa.array(hashed, pa.string())], names=["sync", "run", "name"]))


def sighted(reader: Reader, run: int) -> int:
    """How many people of the list are noted so far."""
    return int(reader.rows("SELECT count(DISTINCT name) FROM sightings WHERE run = $run", {"run": run})[0][0])


@tried_again
def compare(engine: Engine, request: PlanRequest, listing: Listing, now: datetime) -> Audit:
    """Settle what the list says, for good and all at once; a repeat finds what the first has found."""
    with engine.write() as tx:
        if found := audit_of(tx, request.run):
            return found
        _lay_out(tx, request, listing)
        counts = _count(tx)
        audit = Audit(request.run, listing.began, now, **counts, steady=listing.steady)
        _correct(tx, request, now)
        audit = replace(audit, unwanted=_write_down(tx, request))
        _keep(tx, request.sync, audit)
        _clear(tx, request.sync)
        return audit


@tried_again
def count_only(engine: Engine, request: PlanRequest, members: int, began: datetime, now: datetime) -> Audit:
    """What there is to say where the vendor gives nothing but a number."""
    with engine.write() as tx:
        if found := audit_of(tx, request.run):
            return found
        whose = {"sync": request.sync, "audience": request.audience}
        [(expected,)] = tx.rows(f"SELECT count(*) FROM standing WHERE {_WHOSE} AND {_ACKNOWLEDGED}", whose)
        audit = Audit(request.run, began, now, members, int(expected))
        tx.execute("DELETE FROM drift WHERE sync = $sync", {"sync": request.sync})
        _keep(tx, request.sync, audit)
        return audit


def audit_of(reader: Reader, run: int) -> Audit | None:
    """What the audit of that run has found; None unless it is the newest of its sync."""
    return _read(reader, "run = $number", run)


def newest_of(reader: Reader, sync: int) -> Audit | None:
    return _read(reader, "sync = $number", sync)


def people(reader: Reader, run: int, kind: str, after: int | None, limit: int) -> list[Person]:
    """Whom that audit found so, by `pid` as in `views`."""
    asked = {"run": run, "kind": kind, "after": -1 if after is None else after, "limit": limit}
    rows = reader.rows(f"SELECT p.pid {_PEOPLE} AND p.pid > $after ORDER BY p.pid LIMIT $limit", asked)
    return list(profiles_by_pid(reader, [pid for (pid,) in rows]).values())


def count_people(reader: Reader, run: int, kind: str) -> int:
    return int(reader.rows(f"SELECT count(*) {_PEOPLE}", {"run": run, "kind": kind})[0][0])


@tried_again
def forget(engine: Engine, sync: int) -> None:
    with engine.write() as tx:
        for table in TABLES:
            tx.execute(f"DELETE FROM {table} WHERE sync = $sync", {"sync": sync})


_PEOPLE = "FROM drift d JOIN profiles p ON p.pid = d.pid WHERE d.run = $run AND d.kind = $kind"
_FIGURES = [field.name for field in fields(Audit)]


def _read(reader: Reader, which: str, number: int) -> Audit | None:
    rows = reader.rows(f"SELECT {', '.join(_FIGURES)} FROM audits WHERE {which}", {"number": number})
    if not rows:
        return None
    found = Audit(*rows[0])
    return replace(found, began_at=found.began_at.replace(tzinfo=UTC), ended_at=found.ended_at.replace(tzinfo=UTC))


def _keep(tx: Transaction, sync: int, audit: Audit) -> None:
    tx.execute("DELETE FROM audits WHERE sync = $sync", {"sync": sync})
    values: dict[str, Any] = {name: getattr(audit, name) for name in _FIGURES}
    values |= {"sync": sync, "began_at": naive(audit.began_at), "ended_at": naive(audit.ended_at)}
    names = ", ".join(f"${name}" for name in _FIGURES)
    tx.execute(f"INSERT INTO audits (sync, {', '.join(_FIGURES)}) VALUES ($sync, {names})", values)


def _lay_out(tx: Transaction, request: PlanRequest, listing: Listing) -> None:
    """Who is on the list, who of those the ledger knows, and who of the rest is known to us at all."""
    whose = {"sync": request.sync, "audience": request.audience}
    name = _NAME.format(key=_listed("key", listing.listed_as, tx.dialect))
    tx.execute("CREATE TEMP TABLE seen AS SELECT DISTINCT name FROM sightings WHERE run = $run", {"run": request.run})
    asked = {"salt": listing.salt, "began": naive(listing.began), "steady": listing.steady}
    tx.execute(_COMPARED.format(name=name), {**whose, **asked})
    tx.execute(_REST)
    people = _BY_ID if is_own(request) else _BY_IDENTIFIER.format(names=names(tx, request))
    tx.execute(_OURS.format(people=people, name=name), {"salt": listing.salt, **names_params(request)})


def _count(tx: Transaction) -> dict[str, int]:
    found = dict(tx.rows("SELECT found, count(*) FROM compared GROUP BY found"))
    [(members, expected, unlisted, ours)] = tx.rows(
        "SELECT (SELECT count(*) FROM seen), (SELECT count(*) FROM compared WHERE acknowledged), "
        "(SELECT count(*) FROM rest), (SELECT count(*) FROM ours)"
    )
    return {
        "members": members,
        "expected": expected,
        "missing": found.get("missing", 0),
        "strangers": found.get("stranger", 0) + ours,
        "confirmed": found.get("confirmed", 0),
        "refuted": found.get("refuted", 0),
        "unknown_to_us": unlisted - ours,
    }


def _correct(tx: Transaction, request: PlanRequest, now: datetime) -> None:
    whose = {"sync": request.sync, "audience": request.audience}
    tx.execute(_MISSING, {**whose, "reason": NOT_LISTED})
    # Only that they are there is known, not with which values.
    tx.execute(_CONFIRMED.format(fingerprint="''" if request.fields else "fingerprint"), whose)
    tx.execute("CREATE TEMP TABLE left_out AS SELECT key FROM compared WHERE found = 'refuted'")
    let_go(tx, request.sync, request.audience, naive(now))
    tx.execute("DROP TABLE left_out")
    tx.execute(_STRANGERS_KNOWN, {**whose, "reason": FOUND_THERE})
    tx.execute(_STRANGERS_NEW, {**whose, "reason": FOUND_THERE, "now": naive(now), "run": request.run})


def _write_down(tx: Transaction, request: PlanRequest) -> int:
    """Keep whom it is about, and return how many of the strangers the very next plan would remove."""
    tx.execute("DELETE FROM drift WHERE sync = $sync", {"sync": request.sync})
    tx.execute(_DRIFT, {"sync": request.sync, "run": request.run})
    sql, params = decision(tx, replace(request, scope=Scope.ALL))
    tx.execute(_UNWANTED.format(decision=sql), params)
    tx.execute(_UNWANTED_DRIFT, {"sync": request.sync, "run": request.run})
    return int(tx.rows("SELECT count(*) FROM unwanted")[0][0])


def _clear(tx: Transaction, sync: int) -> None:
    for table in ("seen", "compared", "rest", "ours", "unwanted"):
        tx.execute(f"DROP TABLE {table}")
    tx.execute("DELETE FROM sightings WHERE sync = $sync", {"sync": sync})


def _listed(key: str, listed_as: ListedAs, dialect: str) -> str:
    """`ListedAs.called` in SQL."""
    if listed_as is ListedAs.SHA256 and dialect == "postgres":
        return f"encode(sha256(convert_to({key}, 'UTF8')), 'hex')"
    return key if listed_as is ListedAs.KEY else f"{listed_as.value}({key})"


_WHOSE = "sync = $sync AND audience = $audience"
_ACKNOWLEDGED = f"(state = 'present' OR (state = 'possible' AND coalesce(reason, '') = '{NOT_LISTED}'))"
_NAME = "md5(concat(CAST($salt AS VARCHAR), {key}))"

# Whoever changed since the list was begun, or may still change by something unanswered, is judged another time.
_COMPARED = f"""
CREATE TEMP TABLE compared AS
SELECT d.key, d.pid, d.name, d.acknowledged,
  CASE WHEN d.open THEN 'open'
    WHEN d.fingerprint IS NULL THEN CASE WHEN s.name IS NULL THEN 'absent' ELSE 'stranger' END
    WHEN d.state = 'present' AND s.name IS NOT NULL THEN 'there'
    WHEN d.acknowledged AND s.name IS NULL THEN 'missing'
    WHEN d.state <> 'possible' THEN 'there'
    WHEN s.name IS NOT NULL THEN 'confirmed' WHEN $steady THEN 'refuted' ELSE 'open' END AS found
FROM (
  SELECT key, pid, state, fingerprint, {{name}} AS name, {_ACKNOWLEDGED} AS acknowledged,
    again IS NOT NULL OR "at" > $began OR coalesce(late_until > $began, FALSE) AS open
  FROM standing WHERE {_WHOSE}) d
LEFT JOIN seen s ON s.name = d.name
"""

_REST = """
CREATE TEMP TABLE rest AS
SELECT s.name FROM seen s WHERE NOT EXISTS (SELECT 1 FROM compared c WHERE c.name = s.name)
"""

_BY_ID = "SELECT external_id AS key, pid FROM profiles"
_BY_IDENTIFIER = """
SELECT i.key, i.pid FROM ({names}) i JOIN profiles p ON p.pid = i.pid"""
_OURS = """
CREATE TEMP TABLE ours AS
SELECT o.key, o.pid, p.external_id
FROM (SELECT k.key, min(k.pid) AS pid FROM (SELECT key, pid, {name} AS name FROM ({people}) k0) k
  JOIN rest r ON r.name = k.name GROUP BY k.key) o
JOIN profiles p ON p.pid = o.pid
"""

_FOUND = "SELECT key FROM compared WHERE found ="
_MISSING = f"UPDATE delivered SET state = 'possible', reason = $reason WHERE {_WHOSE} AND key IN ({_FOUND} 'missing')"
_CONFIRMED = f"""
UPDATE delivered SET state = 'present', reason = NULL, fingerprint = {{fingerprint}}, late_until = NULL, late_op = NULL
WHERE {_WHOSE} AND key IN ({_FOUND} 'confirmed')
"""
_STRANGERS_KNOWN = f"""
UPDATE delivered SET state = CASE WHEN state = 'suppressed' THEN state ELSE 'possible' END,
  reason = CASE WHEN refused IS NULL THEN $reason ELSE reason END,
  fingerprint = '', late_until = NULL, late_op = NULL
WHERE {_WHOSE} AND key IN ({_FOUND} 'stranger')
"""
_STRANGERS_NEW = """
INSERT INTO delivered (sync, audience, key, pid, external_id, fingerprint, state, reason, attempts, "at", run)
SELECT $sync, $audience, key, pid, external_id, '', 'possible', $reason, 0, $now, $run FROM ours
"""
_DRIFT = """
INSERT INTO drift
SELECT DISTINCT $sync, $run, kind, pid FROM (
  SELECT upper(found) AS kind, pid FROM compared WHERE found IN ('missing', 'stranger', 'confirmed', 'refuted')
  UNION ALL SELECT 'STRANGER', pid FROM ours) f
"""
_UNWANTED = """
CREATE TEMP TABLE unwanted AS
SELECT s.key, s.pid FROM (SELECT key, pid FROM compared WHERE found = 'stranger' UNION ALL SELECT key, pid FROM ours) s
WHERE s.key IN (SELECT d.key FROM ({decision}) d WHERE d.op = 'remove')
"""
_UNWANTED_DRIFT = "INSERT INTO drift SELECT DISTINCT $sync, $run, 'UNWANTED', pid FROM unwanted"

"""The one statement that decides a plan: desired against delivered, every member and every delivered key once.

A member who is there already, just so, is the one case that gives no row: whoever is not in it is unchanged.

A run writes what it says and a preview only counts it, so that the two never disagree. Reasons for withholding, the
first that holds: NO_CONSENT (the member's own), NO_IDENTIFIER, HELD_OUT (beyond the rollout's share), SHARED_IDENTIFIER
(another holder of the same key may not be sent, or stands for all of them), SUPPRESSED (the vendor's word), MODE,
QUARANTINED.

Columns: pid, external_id, key, op, reason, allowed_until, shared, fingerprint. `op` is one of `Op`, `rejected` (refused
before with the very same payload, which rests) or `withheld`. `shared`: other profiles hold the key as well.
`fingerprint` is of the payload as it is now, empty for whoever is to go.
"""

from __future__ import annotations

from datetime import datetime
from math import ceil
from typing import Any, NamedTuple

from hub.core.clock import naive
from hub.core.planning import PlanRequest
from hub.core.records import SyncMode, WithheldReason
from hub.core.scopes import Scope
from hub.warehouse.engine import Reader
from hub.warehouse.fingerprint import fingerprint, mapping, signal_params, signals_of, traits_of
from hub.warehouse.naming import is_own, key_column, members_names, names, names_params


class Statement(NamedTuple):
    sql: str
    params: dict[str, Any]


def decision(reader: Reader, request: PlanRequest) -> Statement:
    """The statement for this request; the catalogue is asked which column holds the newest identifier."""
    whose = {"sync": request.sync, "audience": request.audience}
    held = request.scope is Scope.FULL or reader.rows(
        "SELECT 1 FROM delivered WHERE sync = $sync AND audience = $audience LIMIT 1", whose
    )
    sql = _wanted(reader, request) + (_against_held(reader, request) if held else _all_new(request))
    pilot = {"bound": rollout_bound(request.rollout_share), "sync": request.sync} if is_pilot(request) else {}
    params: dict[str, Any] = {
        "segment": request.segment,
        "lens": request.lens.value,
        "mapping": mapping(request),
        **consent_params(request, request.now),
        **(whose if held else {}),
        **names_params(request),
        **signal_params(request),
        **pilot,
    }
    return Statement(sql, params)


def _wanted(reader: Reader, request: PlanRequest) -> str:
    values = _values(request)
    return _WANTED.format(
        allowed=allowed(request),
        key=key_column(reader, request),
        names=members_names(reader, request),
        traits="".join(f", {value} AS {name}" for name, value in zip(values, _payload(request), strict=True)),
        carried="".join(f", c.{name}" for name in values),
        whole="" if request.scope.whole else "AND FALSE",
        held_out=_HELD_OUT if is_pilot(request) else "FALSE",
        sharers=_NO_SHARERS if is_own(request) else _SHARERS.format(names=names(reader, request)),
    )


def _against_held(reader: Reader, request: PlanRequest) -> str:
    full = request.scope is Scope.FULL
    return _AGAINST_HELD.format(
        remembered=_REMEMBERED if full else "",
        never="FALSE" if full else "held_payload IS NULL",
        fingerprint=fingerprint(f"w.{name}" for name in _values(request)),
        which=_held(reader, request),
        barred=_NO_BARRED if is_own(request) else _BARRED.format(names=names(reader, request)),
        once="DISTINCT" if request.identifiers else "",
        member=_member(request),
        otherwise=WithheldReason.MODE if request.mode is SyncMode.REMOVE_ONLY else WithheldReason.QUARANTINED,
        reason=_reason(request),
        gone=_gone(request),
    )


def _held(reader: Reader, request: PlanRequest) -> str:
    """Whom the scope is about, of those delivered: to look for a few withdrawals must not cost a look at everybody."""
    if request.scope is Scope.REPEAT:
        return "AND again = 'remove' AND late_until <= $now"
    if request.scope is not Scope.WITHDRAWN:
        return ""
    barred = "NOT EXISTS (SELECT 1 FROM allowed a WHERE a.pid = {}.pid)"
    if is_own(request):
        return f"AND {barred.format('d')}"
    shared = f"SELECT i.key FROM ({names(reader, request)}) i WHERE {barred.format('i')}"
    return f"AND ({barred.format('d')} OR d.key IN ({shared}))"


def _all_new(request: PlanRequest) -> str:
    return _ALL_NEW.format(
        fingerprint=fingerprint(f"w.{name}" for name in _values(request)),
        why="coalesce(withheld, 'MODE')" if request.mode is SyncMode.REMOVE_ONLY else "withheld",
    )


def _values(request: PlanRequest) -> list[str]:
    return [f"value{n}" for n in range(len(request.fields) + len(request.signals))]


def _payload(request: PlanRequest) -> list[str]:
    """What the payload of a profile `p` is made of: its traits, then what its consent signals say."""
    return [*(f"p.{column}" for column in traits_of(request)), *signals_of(request, "p.pid")]


def allowed(request: PlanRequest, among: str = "TRUE") -> str:
    """The people who may be sent for all purposes (`pid`), and until when (`until`, null for no end).

    Takes the parameters of `consent_params`; `among` narrows whom to look at.
    """
    names = ", ".join(f"$purpose{n}" for n in range(len(request.purposes))) or "NULL"
    standing = (
        f"FROM consent WHERE {among} AND purpose IN ({names}) AND state = 'GRANTED' "
        "AND (expires_at IS NULL OR expires_at > $now)"
    )
    if len(request.purposes) == 1:
        return f"SELECT pid, expires_at AS until {standing}"
    all_of_them = f"HAVING count(DISTINCT purpose) = {len(request.purposes)}"
    return f"SELECT pid, min(expires_at) AS until {standing} GROUP BY pid {all_of_them}"


def consent_params(request: PlanRequest, now: datetime) -> dict[str, Any]:
    return {"now": naive(now), **{f"purpose{n}": purpose for n, purpose in enumerate(request.purposes)}}


def is_pilot(request: PlanRequest) -> bool:
    return request.rollout_share < 1


def rollout_bound(share: float) -> str:
    """The first lot that is held out, in hex as the lots are; a larger share keeps whom a smaller one took."""
    return f"{min(ceil(share * _LOTS), _LOTS - 1):08x}"


def _member(request: PlanRequest) -> str:
    """What is to be done about a member who may be sent: `payload` is theirs now, `held_payload` the one there."""
    if request.mode is SyncMode.REMOVE_ONLY:
        return f"WHEN state = 'present' THEN '{'keep' if request.resend else 'unchanged'}' ELSE 'withheld'"
    again = request.scope in {Scope.RETRY_REJECTED, Scope.FULL}
    resting = "" if again else "WHEN refused = payload AND retry_at > $now THEN 'rejected'"
    refused = f"WHEN refused = payload AND retry_at IS NULL THEN 'withheld' {resting}"
    everybody = request.resend or request.mode is SyncMode.REPLACE or request.scope is Scope.FULL
    unchanged = "keep" if everybody else "unchanged"
    same = "held_payload = payload AND held_pid = pid AND (again IS NULL OR late_until > $now)"
    return (
        f"WHEN state IS NULL THEN 'add' {refused} WHEN state <> 'present' THEN 'add' "
        f"WHEN {same} THEN '{unchanged}' ELSE 'update'"
    )


def _reason(request: PlanRequest) -> str:
    if request.scope is Scope.EMPTY:
        return "'emptied'"
    barred = "a.pid IS NULL OR b.key IS NOT NULL"
    swept = "WHEN NOT l.there THEN 'swept'" if request.scope is Scope.FULL else ""
    return f"CASE WHEN {barred} THEN 'withdrawn' WHEN w.pid IS NOT NULL THEN 'moved' {swept} ELSE 'leaver' END"


def _gone(request: PlanRequest) -> str:
    """Which delivered keys that nobody is wanted under are removed: `l` is the key, `reason` already found."""
    if request.scope is Scope.WITHDRAWN:
        return "AND reason = 'withdrawn'"
    if request.mode is SyncMode.ADD_ONLY and request.scope not in {Scope.EMPTY, Scope.REPEAT}:
        return "AND reason NOT IN ('leaver', 'swept')"
    return ""


_LOTS = 2**32
# Everybody draws one lot per sync, the same on every engine. Engines agree on how hex digits sort.
_HELD_OUT = "substr(md5(concat(CAST($sync AS VARCHAR), ':', p.external_id)), 1, 8) >= $bound"

_WANTED = """
WITH allowed AS ({allowed}),
members AS (
  SELECT p.pid, p.external_id, {key} AS key, a.pid IS NOT NULL AS allowed, a.until,
    {held_out} AS held_out{traits}
  FROM memberships m JOIN profiles p ON p.pid = m.pid LEFT JOIN allowed a ON a.pid = m.pid {names}
  WHERE m.segment = $segment AND m.lens = $lens {whole}),
sharers AS ({sharers}),
wanted AS (
  SELECT c.pid, c.external_id, c.key, s.key IS NOT NULL AS shared, least(c.until, s.until) AS until{carried},
    CASE WHEN NOT c.allowed THEN 'NO_CONSENT' WHEN c.key IS NULL THEN 'NO_IDENTIFIER'
      WHEN c.held_out THEN 'HELD_OUT'
      WHEN s.blocked OR c.pid <> s.first THEN 'SHARED_IDENTIFIER' END AS withheld
  FROM members c LEFT JOIN sharers s ON s.key = c.key)"""

# Where nothing is known to be at the vendor there is nothing to compare with, and an engine has less to think about.
_ALL_NEW = """
SELECT pid, external_id, key, CASE WHEN why IS NULL THEN 'add' ELSE 'withheld' END AS op, why AS reason,
  until AS allowed_until, shared, fingerprint
FROM (
  SELECT w.*, {why} AS why, CASE WHEN withheld IS NULL THEN {fingerprint} ELSE '' END AS fingerprint FROM wanted w) n
"""

# What may be at the vendor has a fingerprint in `delivered`. A key whose remove was acknowledged while an unanswered
# add may still land waits for that add's deadline (`again`), then is removed once more.
_AGAINST_HELD = """,
held AS (SELECT key, pid, external_id, fingerprint, refused, state, late_until, again, retry_at
  FROM standing d
  WHERE sync = $sync AND audience = $audience {which} {remembered}),
paired AS (
  SELECT w.pid, w.external_id, w.key, w.shared, w.until, w.withheld, d.key AS held_key, d.pid AS held_pid,
    d.external_id AS held_as, d.fingerprint AS held_payload, d.refused, d.state, d.late_until, d.again, d.retry_at,
    CASE WHEN w.wanted_key IS NOT NULL THEN {fingerprint} END AS payload
  FROM (SELECT *, CASE WHEN withheld IS NULL THEN key END AS wanted_key FROM wanted) w
  FULL OUTER JOIN held d ON d.key = w.wanted_key),
judged AS (
  SELECT * FROM (SELECT pid, external_id, key, shared, until, payload, held_key, held_pid, held_as, held_payload,
    CASE WHEN pid IS NULL THEN
        CASE WHEN {never} OR (again = 'remove' AND late_until > $now) THEN 'absent' ELSE 'gone' END
      WHEN withheld IS NOT NULL OR state = 'suppressed' THEN 'withheld' {member} END AS op,
    coalesce(withheld, CASE WHEN state = 'suppressed' THEN 'SUPPRESSED' ELSE '{otherwise}' END) AS why
  FROM paired) j WHERE op NOT IN ('unchanged', 'absent')),
gone AS (SELECT held_key AS key, held_pid AS pid, held_as AS external_id, held_payload IS NOT NULL AS there
  FROM judged WHERE op = 'gone'),
barred AS ({barred}),
leaving AS (
  SELECT l.pid, l.external_id, l.key, {reason} AS reason
  FROM gone l LEFT JOIN allowed a ON a.pid = l.pid LEFT JOIN barred b ON b.key = l.key
  LEFT JOIN (SELECT {once} pid FROM wanted WHERE withheld IS NULL) w ON w.pid = l.pid)
SELECT pid, external_id, key, op, CASE WHEN op = 'withheld' THEN why END AS reason,
  until AS allowed_until, shared, coalesce(payload, '') AS fingerprint FROM judged WHERE op <> 'gone'
UNION ALL
SELECT pid, external_id, key, 'remove', reason, NULL, FALSE, '' FROM leaving WHERE TRUE {gone}
"""

# Keys that the plans still kept have told the vendor of, and that are not known to be there any more.
_REMEMBERED = """
  UNION ALL
  SELECT key, pid, external_id, NULL, NULL, 'absent', NULL, NULL, NULL FROM (
    SELECT p.key, p.pid, p.external_id, row_number() OVER (PARTITION BY p.key ORDER BY p.run DESC) AS nth
    FROM plan p JOIN plans h ON h.run = p.run
    WHERE h.sync = $sync AND h.audience = $audience AND h.settled_at IS NOT NULL AND p."position" IS NOT NULL
      AND NOT EXISTS (
        SELECT 1 FROM delivered d WHERE d.sync = $sync AND d.audience = $audience AND d.key = p.key)) k
  WHERE nth = 1"""

# Who shares comes first, by name, lest an engine look up everybody's consent for the sake of a few.
_SHARERS = """
  WITH others AS MATERIALIZED (
    SELECT i.key, i.pid, c.pid AS member FROM members c
    JOIN ({names}) i ON i.key = c.key AND i.pid <> c.pid
    WHERE c.allowed AND NOT c.held_out)
  SELECT o.key, bool_or(a.pid IS NULL) AS blocked, min(a.until) AS until, min(o.member) AS first
  FROM others o LEFT JOIN allowed a ON a.pid = o.pid GROUP BY o.key"""

_NO_SHARERS = """
  SELECT CAST(NULL AS VARCHAR) AS key, FALSE AS blocked, CAST(NULL AS TIMESTAMP) AS until, 0 AS first WHERE FALSE"""

_BARRED = """
  WITH holders AS MATERIALIZED (
    SELECT i.key, i.pid FROM gone l JOIN ({names}) i ON i.key = l.key)
  SELECT DISTINCT h.key FROM holders h LEFT JOIN allowed a ON a.pid = h.pid WHERE a.pid IS NULL"""

_NO_BARRED = "SELECT CAST(NULL AS VARCHAR) AS key WHERE FALSE"

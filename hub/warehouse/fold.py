"""One set operation that takes words of the log into what is known to be delivered; see `hub.warehouse.settle`."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from hub.core.clock import naive
from hub.core.instants import EPOCH
from hub.core.planning import RESTS
from hub.core.scopes import Scope
from hub.warehouse.engine import Transaction
from hub.warehouse.outcomes import WORDS


class Audience(NamedTuple):
    sync: int
    audience: str


class News(NamedTuple):
    """What the log has of a run beyond `folded`, up to line `upto`; `singly`: some of it is about single people
    or their jobs. `beside`: of the run that removes withdrawn people, and goes on beside another."""

    run: int
    folded: int
    upto: int
    singly: bool
    beside: bool


def fold(tx: Transaction, whose: Audience, now: datetime, in_flight_s: float) -> None:
    """All that is new in the log about an audience, of every run that is not settled yet.

    Runs side by side may have words on the same person, which count in the order in which they were said: so they are
    folded by turns, as often as the word goes from one run to another.
    """
    news = _news(tx, whose)
    # What can no longer land is forgotten when one run has the word: another's may have been begun while it could.
    forgets = now if len(news) == 1 else naive(EPOCH)
    times = {"now": forgets, "in_flight": timedelta(seconds=in_flight_s)}
    for turn in range(_take_turns(tx, whose) if len(news) > 1 else 1):
        for one in news:
            _fold_one(tx, whose, one, times, turn if len(news) > 1 else None)
    for one in news:
        tx.execute("UPDATE plans SET folded = $upto WHERE run = $run", {"upto": one.upto, "run": one.run})


def _news(tx: Transaction, whose: Audience) -> list[News]:
    found = [
        _news_of(tx, run, folded, beside=scope == Scope.WITHDRAWN)
        for run, folded, scope in tx.rows(_UNSETTLED, whose._asdict())
    ]
    return [news for news in found if news.upto > news.folded]


def _news_of(tx: Transaction, run: int, folded: int, *, beside: bool) -> News:
    [(single, jobs, taken)] = tx.rows(_LAST, {"run": run})
    return News(run, folded, max(single or 0, taken or 0), singly=(single or 0) > folded or bool(jobs), beside=beside)


def _take_turns(tx: Transaction, whose: Audience) -> int:
    """How many turns there are; `later` names the words of every turn but the first."""
    tx.execute("DROP TABLE IF EXISTS later")
    tx.execute(_LATER, whose._asdict())
    return 1 + int(tx.rows("SELECT coalesce(max(turn), 0) FROM later")[0][0])


def _fold_one(tx: Transaction, whose: Audience, news: News, times: dict[str, Any], turn: int | None) -> None:
    params = {**whose._asdict(), "run": news.run, "folded": news.folded, **times, "turn": turn}
    # Where nobody has a line of their own, all were accepted at the first attempt.
    simply = turn is None and not news.singly
    [(unsettled,)] = tx.rows(_HELD, whose._asdict())
    if simply and not unsettled:
        _replace(tx, params, known=unsettled is not None)
        return
    told = _TAKEN if simply else _TOLD.format(turn=_WHOSE_TURN[bool(turn)] if turn is not None else "")
    how = {"told": told, **(_BESIDE if news.beside else _ORDINARY)}
    if unsettled is not None:
        _renew(tx, whose, _FOLD.format(into="folding", **how), params)
    else:
        # Nobody is replaced; of a remove of someone unknown there stays only what may still land.
        _execute(tx, _FOLD.format(into="delivered", **how), params)


def _replace(tx: Transaction, params: dict[str, Any], *, known: bool) -> None:
    if known:
        _execute(tx, _TAKE_OUT, params)
    _execute(tx, _PUT_IN, params)


def _renew(tx: Transaction, whose: Audience, fold: str, params: dict[str, Any]) -> None:
    tx.execute("CREATE TEMP TABLE folding AS SELECT * FROM delivered WHERE FALSE")
    _execute(tx, fold, params)
    tx.execute(
        "DELETE FROM delivered USING folding f WHERE delivered.sync = $sync AND delivered.audience = $audience "
        "AND delivered.key = f.key",
        whose._asdict(),
    )
    tx.execute(
        "INSERT INTO delivered SELECT * FROM folding WHERE state <> 'absent' "
        "OR coalesce(late_until, job_until, leaving_until) IS NOT NULL"
    )
    tx.execute("DROP TABLE folding")


def _execute(tx: Transaction, sql: str, params: dict[str, Any]) -> None:
    # Engines refuse a parameter that the statement does not name.
    tx.execute(sql, {name: value for name, value in params.items() if re.search(rf"\${name}\b", sql)})


_UNSETTLED = """
SELECT run, folded, scope FROM plans WHERE sync = $sync AND audience = $audience AND settled_at IS NULL ORDER BY run
"""
_LAST = """
SELECT max(seq), bool_or(kind = 'submitted'), (SELECT max(seq) FROM taken WHERE run = $run) FROM outcomes
WHERE run = $run
"""

_RETRY_AT = " ".join(
    f"WHEN {before} THEN \"at\" + INTERVAL '{rest.total_seconds():.0f} seconds'" for before, rest in enumerate(RESTS)
)

_LANDING = """
    SELECT seq, "position", "at", fingerprint, greatest("at" + CAST($in_flight AS INTERVAL), late_until) AS lands_until
    FROM outcomes WHERE run = $run AND kind = '{kind}'"""

# `o` is the last word about a person in this run, `u` the last attempt that went unanswered, `j` the vendor's job that
# they have gone into. What came of a job was begun when the vendor took the job in.
_TOLD = f"""
WITH {WORDS},
fresh AS (
  SELECT "position", max(seq) AS seq, max(CASE WHEN kind = 'unknown' THEN seq END) AS doubt,
    min(CASE WHEN kind = 'unknown' THEN fingerprint END)
      <> max(CASE WHEN kind = 'unknown' THEN fingerprint END) AS mixed
  FROM words w WHERE seq > $folded {{turn}} GROUP BY "position"),
told AS (
  SELECT p.key, p.pid, p.external_id, o.kind, nullif(o.reason, '') AS reason, o."at",
    CASE WHEN p.op = 'remove' THEN 'remove' ELSE 'add' END AS op, u.seq IS NOT NULL AS doubted,
    o.fingerprint, u.fingerprint AS doubted_fingerprint, f.mixed,
    u.lands_until AS doubt_until, coalesce(j."at", o."at") AS since, j.seq IS NOT NULL AS in_job,
    CASE WHEN o.kind = 'submitted' THEN j.lands_until END AS open_until
  FROM fresh f JOIN words o ON o.seq = f.seq AND o."position" = f."position"
  JOIN plan p ON p.run = $run AND p."position" = f."position"
  LEFT JOIN ({_LANDING.format(kind="unknown")}) u ON u.seq = f.doubt
  LEFT JOIN ({_LANDING.format(kind="submitted")}) j ON j."position" = f."position"),
"""

_WHOSE_TURN = {
    False: """AND NOT EXISTS (
      SELECT 1 FROM later l WHERE l.run = $run AND l."position" = w."position" AND l.seq = w.seq)""",
    True: """AND EXISTS (
      SELECT 1 FROM later l WHERE l.run = $run AND l."position" = w."position" AND l.seq = w.seq AND l.turn = $turn)""",
}

# The words on those who are in more than one run, from where the word first goes to another.
_LATER = """
CREATE TEMP TABLE later AS
WITH fresh AS (
  SELECT run, folded FROM plans WHERE sync = $sync AND audience = $audience AND settled_at IS NULL),
words AS (
  SELECT o.run, o."position", o.key, o.seq FROM outcomes o JOIN fresh f ON f.run = o.run AND o.seq > f.folded
  UNION ALL
  SELECT p.run, p."position", p.key, t.seq
  FROM (SELECT k.run, k.seq, g.place FROM taken k JOIN fresh f ON f.run = k.run AND k.seq > f.folded,
    generate_series(k."position", k.upto) AS g(place)) t
  JOIN plan p ON p.run = t.run AND p."position" = t.place),
crossed AS (
  SELECT w.*, lag(w.run) OVER (PARTITION BY w.key ORDER BY w.seq) AS before FROM words w
  WHERE w.key IN (SELECT key FROM words GROUP BY key HAVING count(DISTINCT run) > 1))
SELECT run, "position", seq, turn FROM (
  SELECT run, "position", seq,
    sum(CASE WHEN before <> run THEN 1 ELSE 0 END) OVER (PARTITION BY key ORDER BY seq) AS turn FROM crossed) c
WHERE turn > 0
"""

_TAKEN = """
WITH told AS (
  SELECT p.key, p.pid, p.external_id, 'accepted' AS kind, CAST(NULL AS VARCHAR) AS reason, t."at",
    CASE WHEN p.op = 'remove' THEN 'remove' ELSE 'add' END AS op, FALSE AS doubted,
    p.fingerprint, CAST(NULL AS VARCHAR) AS doubted_fingerprint, FALSE AS mixed,
    CAST(NULL AS TIMESTAMP) AS doubt_until, t."at" AS since, FALSE AS in_job, CAST(NULL AS TIMESTAMP) AS open_until
  FROM (SELECT g.place, k."at" FROM taken k, generate_series(k."position", k.upto) AS g(place)
    WHERE k.run = $run AND k.seq > $folded) t
  JOIN plan p ON p.run = $run AND p."position" = t.place),
"""

# Whether something in an audience may still land or is to be repeated; null where nobody is known of it.
_HELD = """
SELECT bool_or(coalesce(late_until, job_until, leaving_until) IS NOT NULL OR again IS NOT NULL) FROM delivered
WHERE sync = $sync AND audience = $audience
"""

# Where nothing is open, whoever was accepted is there, and whoever was removed is not; nothing else is left of before.
_TAKE_OUT = f"""
{_TAKEN.rstrip().rstrip(",")}
DELETE FROM delivered USING told WHERE delivered.sync = $sync AND delivered.audience = $audience
AND delivered.key = told.key
"""
_PUT_IN = f"""
INSERT INTO delivered (sync, audience, key, pid, external_id, fingerprint, state, attempts, "at", run)
{_TAKEN} wanted AS (SELECT * FROM told WHERE op = 'add')
SELECT $sync, $audience, key, pid, external_id, fingerprint, 'present', 0, "at", $run FROM wanted
"""

# A run knows its own open job, and that of the run it goes beside.
_ORDINARY = {
    "own_until": "job_until",
    "other_until": "leaving_until",
    "other_op": "'remove'",
    "jobs": "CASE WHEN open_until IS NOT NULL THEN op END, "
    "CASE WHEN open_until IS NOT NULL AND op = 'add' THEN fingerprint END, open_until, leaving_until",
}
_BESIDE = {
    "own_until": "leaving_until",
    "other_until": "job_until",
    "other_op": "job_op",
    "jobs": "job_op, job_fingerprint, job_until, open_until",
}

# `d` is what was known before. Only a DONE add is there for sure; a DOUBTED one may be, whatever came after it. Who has
# BEGUN is in a job from now on, and of an UNDONE one the vendor has said that nothing came of it; neither changes what
# else is known. What may land late is held against the instant at which this was begun, not against the settling: it
# may have landed in between. Where several payloads may land last and a newer one was refused, the fingerprint is
# nobody's. A job that was FOLLOWED has CROSSED whatever was acknowledged since, in either order.
_FOLD = f"""
INSERT INTO {{into}}
{{told}}held AS (SELECT * FROM delivered WHERE sync = $sync AND audience = $audience),
events AS (
  SELECT t.*, d.key IS NOT NULL AS known, d.fingerprint AS had, d.refused AS had_refused, d.retry_at AS had_retry_at,
    d.state AS was, d.reason AS had_reason, d.job_op, d.job_fingerprint, d.job_until, d.leaving_until,
    coalesce(d.attempts, 0) AS attempts, d.again,
    t.in_job AND t.op = 'add' AND d.{{own_until}} IS NULL AS goes_in,
    d.{{own_until}} IS NOT NULL AND d.again IS NOT NULL AND d.run <> $run AS crossed,
    d.{{other_until}} IS NOT NULL AS beside, t.open_until IS NOT NULL OR d.{{other_until}} IS NOT NULL AS open,
    d.late_until > t.since AS is_late, d.late_until, d.late_op,
    CASE WHEN d.{{other_until}} > t.since THEN {{other_op}} END AS other_op,
    CASE WHEN t.kind IN ('accepted', 'noop') THEN CASE WHEN t.op = 'add' THEN 'reached' ELSE 'gone' END
      WHEN t.doubted THEN 'doubted' WHEN t.kind IN ('rejected', 'suppressed') THEN 'refused'
      WHEN t.open_until IS NOT NULL THEN 'begun' WHEN d.{{own_until}} IS NOT NULL THEN 'undone' END AS event
  FROM told t LEFT JOIN held d ON d.key = t.key),
contrary AS (
  SELECT *, CASE WHEN is_late THEN CASE WHEN coalesce(other_op, late_op) = late_op THEN late_op ELSE 'any' END
      ELSE other_op END AS held_op,
    CASE WHEN is_late THEN late_op END AS held_late_op,
    CASE WHEN goes_in AND again = 'remove' THEN CASE WHEN is_late OR other_op IS NOT NULL THEN 'add' END
      ELSE again END AS was_again,
    doubt_until > since AS in_doubt, CASE WHEN doubt_until > since OR beside THEN doubt_until END AS kept_doubt,
    CASE WHEN is_late OR beside THEN late_until END AS kept_until,
    CASE WHEN is_late OR beside THEN late_op END AS kept_op
  FROM events WHERE event IS NOT NULL AND (op = 'add' OR known OR open_until IS NOT NULL
    OR (doubt_until > since AND doubt_until > $now))),
weighed AS (
  SELECT *, op = 'add' AND (held_op <> 'add' OR (held_op = 'add'
      AND (was_again IS NOT NULL OR had <> CASE WHEN event = 'doubted' THEN doubted_fingerprint ELSE fingerprint END))
    OR (in_doubt AND (mixed OR (event = 'reached' AND doubted_fingerprint <> fingerprint)))
    OR (event = 'reached' AND crossed)) AS stale,
    op = 'add' AND (kind IN ('rejected', 'suppressed') OR event = 'undone') AS untaken
  FROM contrary),
judged AS (
  SELECT *,
    untaken AND CASE WHEN event = 'doubted' THEN stale ELSE was_again = 'add' AND had IS NOT NULL END AS muddled,
    greatest(kept_until, kept_doubt) AS until,
    CASE WHEN kept_doubt IS NULL OR kept_op = op THEN coalesce(kept_op, CASE WHEN kept_doubt IS NOT NULL THEN op END)
      WHEN kept_op IS NULL THEN op ELSE 'any' END AS late,
    crossed OR held_late_op <> 'remove' AS stays,
    CASE
      WHEN untaken THEN CASE WHEN event <> 'doubted' AND held_op IS NOT NULL AND was_again = 'remove' THEN 'remove' END
      WHEN event = 'begun' THEN was_again
      WHEN stale AND event IN ('reached', 'doubted') THEN 'add'
      WHEN event = 'gone' AND (held_op <> 'remove' OR crossed) THEN 'remove'
      WHEN event IN ('refused', 'undone') AND held_op IS NOT NULL THEN was_again END AS repeat
  FROM weighed)
SELECT $sync, $audience, key, pid, external_id,
  CASE WHEN muddled THEN '' WHEN event = 'reached' THEN fingerprint
    WHEN event = 'gone' THEN CASE WHEN stays THEN had END
    WHEN event = 'doubted' AND op = 'add' THEN doubted_fingerprint ELSE had END,
  CASE WHEN op = 'add' AND kind = 'rejected' THEN fingerprint
    WHEN event IN ('refused', 'begun', 'undone') OR op = 'remove' THEN had_refused END,
  CASE WHEN op = 'add' AND kind = 'suppressed' THEN 'suppressed' WHEN event = 'reached' THEN 'present'
    WHEN event = 'gone' THEN CASE WHEN stays THEN 'possible' ELSE 'absent' END
    WHEN event IN ('doubted', 'refused') AND op = 'remove' AND had IS NULL THEN coalesce(was, 'absent')
    WHEN event = 'doubted' OR muddled THEN 'possible'
    WHEN event IN ('begun', 'undone') THEN coalesce(was, 'absent') WHEN had IS NOT NULL THEN was ELSE 'rejected' END,
  CASE WHEN event IN ('doubted', 'refused') THEN reason WHEN event IN ('begun', 'undone') THEN had_reason END,
  CASE WHEN op = 'add' AND kind = 'rejected' THEN attempts + 1 WHEN event IN ('reached', 'gone') THEN 0
    ELSE attempts END,
  "at", $run, CASE WHEN until > $now OR repeat IS NOT NULL OR open
    THEN coalesce(until, CASE WHEN repeat IS NOT NULL AND NOT open THEN "at" END) END,
  CASE WHEN until > $now OR repeat IS NOT NULL OR open THEN late END, repeat,
  CASE WHEN op = 'add' AND kind = 'rejected' THEN CASE attempts {_RETRY_AT} END
    WHEN event IN ('refused', 'begun', 'undone') OR op = 'remove' THEN had_retry_at END, {{jobs}}
FROM judged
"""

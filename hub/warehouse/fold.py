"""One set operation that takes words of the log into what is known to be delivered; see `hub.warehouse.settle`."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from hub.core.planning import RESTS
from hub.warehouse.engine import Transaction
from hub.warehouse.outcomes import WORDS


class Audience(NamedTuple):
    sync: int
    audience: str


class News(NamedTuple):
    """What the log has of a run beyond `folded`, up to line `upto`; `singly`: some of it is about single people."""

    run: int
    folded: int
    upto: int
    singly: bool


def fold(tx: Transaction, whose: Audience, now: datetime, in_flight_s: float) -> None:
    """All that is new in the log about an audience, of every run that is not settled yet.

    Runs side by side may have words on the same person, which count in the order in which they were said: so they are
    folded by turns, as often as the word goes from one run to another.
    """
    news = _news(tx, whose)
    times = {"now": now, "in_flight": timedelta(seconds=in_flight_s)}
    for turn in range(_take_turns(tx, whose) if len(news) > 1 else 1):
        for one in news:
            _fold_one(tx, whose, one, times, turn if len(news) > 1 else None)
    for one in news:
        tx.execute("UPDATE plans SET folded = $upto WHERE run = $run", {"upto": one.upto, "run": one.run})


def _news(tx: Transaction, whose: Audience) -> list[News]:
    last = "(SELECT max(seq) FROM {} w WHERE w.run = h.run AND w.seq > h.folded)"
    found = tx.rows(
        f"SELECT run, folded, {last.format('outcomes')} AS single, {last.format('taken')} AS taken FROM plans h "
        "WHERE sync = $sync AND audience = $audience AND settled_at IS NULL ORDER BY run",
        whose._asdict(),
    )
    told = [
        (run, folded, max(filter(None, (single, taken)), default=0), bool(single))
        for run, folded, single, taken in found
    ]
    return [News(*one) for one in told if one[2]]


def _take_turns(tx: Transaction, whose: Audience) -> int:
    """How many turns there are; `later` names the words of every turn but the first."""
    tx.execute("DROP TABLE IF EXISTS later")
    tx.execute(_LATER, whose._asdict())
    return 1 + int(tx.rows("SELECT coalesce(max(turn), 0) FROM later")[0][0])


def _fold_one(tx: Transaction, whose: Audience, news: News, times: dict[str, Any], turn: int | None) -> None:
    # Where nobody has a line of their own, all were accepted at the first attempt.
    simply = turn is None and not news.singly
    told = _TAKEN if simply else _TOLD.format(turn=_WHOSE_TURN[bool(turn)] if turn is not None else "")
    params = {**whose._asdict(), "run": news.run, "folded": news.folded, **times, "turn": turn}
    if tx.rows("SELECT 1 FROM delivered WHERE sync = $sync AND audience = $audience LIMIT 1", whose._asdict()):
        _renew(tx, whose, _FOLD.format(into="folding", told=told), params)
    elif simply:
        _execute(tx, _FIRST, params)
    else:
        # Nobody is replaced; of a remove of someone unknown there stays only what may still land.
        _execute(tx, _FOLD.format(into="delivered", told=told), params)


def _renew(tx: Transaction, whose: Audience, fold: str, params: dict[str, Any]) -> None:
    tx.execute("CREATE TEMP TABLE folding AS SELECT * FROM delivered WHERE FALSE")
    _execute(tx, fold, params)
    tx.execute(
        "DELETE FROM delivered USING folding f WHERE delivered.sync = $sync AND delivered.audience = $audience "
        "AND delivered.key = f.key",
        whose._asdict(),
    )
    tx.execute("INSERT INTO delivered SELECT * FROM folding WHERE state <> 'absent' OR late_until IS NOT NULL")
    tx.execute("DROP TABLE folding")


def _execute(tx: Transaction, sql: str, params: dict[str, Any]) -> None:
    # Engines refuse a parameter that the statement does not name.
    tx.execute(sql, {name: value for name, value in params.items() if re.search(rf"\${name}\b", sql)})


_RETRY_AT = " ".join(
    f"WHEN {before} THEN \"at\" + INTERVAL '{rest.total_seconds():.0f} seconds'" for before, rest in enumerate(RESTS)
)

# `o` is the last word about a person in this run, `u` the last attempt that went unanswered, or that is in a job of the
# vendor's with no word on what became of it.
_TOLD = f"""
WITH {WORDS},
fresh AS (
  SELECT "position", max(seq) AS seq, max(CASE WHEN kind = 'unknown' THEN seq END) AS doubt,
    min(CASE WHEN kind IN ('unknown', 'submitted') THEN fingerprint END)
      <> max(CASE WHEN kind IN ('unknown', 'submitted') THEN fingerprint END) AS mixed
  FROM words w WHERE seq > $folded {{turn}} GROUP BY "position"),
told AS (
  SELECT p.key, p.pid, p.external_id, o.kind, nullif(o.reason, '') AS reason, o."at",
    CASE WHEN p.op = 'remove' THEN 'remove' ELSE 'add' END AS op, u.seq IS NOT NULL AS doubted,
    o.fingerprint, u.fingerprint AS doubted_fingerprint, f.mixed,
    CASE WHEN u.doubt_until > o."at" THEN u.doubt_until END AS doubt_until
  FROM fresh f JOIN words o ON o.seq = f.seq AND o."position" = f."position"
  JOIN plan p ON p.run = $run AND p."position" = f."position"
  LEFT JOIN (SELECT seq, fingerprint, greatest("at" + CAST($in_flight AS INTERVAL), late_until) AS doubt_until
    FROM outcomes WHERE run = $run AND kind IN ('unknown', 'submitted')) u
    ON u.seq = CASE WHEN o.kind = 'submitted' THEN o.seq ELSE f.doubt END),
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
    p.fingerprint, CAST(NULL AS VARCHAR) AS doubted_fingerprint, FALSE AS mixed, CAST(NULL AS TIMESTAMP) AS doubt_until
  FROM (SELECT g.place, k."at" FROM taken k, generate_series(k."position", k.upto) AS g(place)
    WHERE k.run = $run AND k.seq > $folded) t
  JOIN plan p ON p.run = $run AND p."position" = t.place),
"""

# Where nobody was known before, whoever was accepted is there, and nobody else.
_FIRST = f"""
INSERT INTO delivered (sync, audience, key, pid, external_id, fingerprint, state, attempts, "at", run)
{_TAKEN} wanted AS (SELECT * FROM told WHERE op = 'add')
SELECT $sync, $audience, key, pid, external_id, fingerprint, 'present', 0, "at", $run FROM wanted
"""

# `d` is what was known before. Only a DONE add is there for sure; a DOUBTED one may be, whatever came after it. What
# may land late is held against the instant of the word, not of the settling: it may have landed in between.
_FOLD = f"""
INSERT INTO {{into}}
{{told}}held AS (SELECT * FROM delivered WHERE sync = $sync AND audience = $audience),
events AS (
  SELECT t.*, d.key IS NOT NULL AS known, d.fingerprint AS had, d.refused AS had_refused, d.retry_at AS had_retry_at,
    d.state AS was,
    coalesce(d.attempts, 0) AS attempts, d.again AS was_again,
    CASE WHEN d.late_until > t."at" THEN d.late_until END AS held_until,
    CASE WHEN d.late_until > t."at" THEN d.late_op END AS held_op,
    CASE WHEN t.kind IN ('accepted', 'noop') THEN CASE WHEN t.op = 'add' THEN 'reached' ELSE 'gone' END
      WHEN t.doubted THEN 'doubted' WHEN t.kind IN ('rejected', 'suppressed') THEN 'refused' END AS event
  FROM told t LEFT JOIN held d ON d.key = t.key),
judged AS (
  SELECT *, greatest(held_until, doubt_until) AS until,
    CASE WHEN doubt_until IS NULL OR held_op = op THEN coalesce(held_op, CASE WHEN doubt_until IS NOT NULL THEN op END)
      WHEN held_op IS NULL THEN op ELSE 'any' END AS late,
    CASE
      WHEN op = 'add' AND kind IN ('rejected', 'suppressed')
        THEN CASE WHEN event = 'refused' AND held_op IS NOT NULL AND was_again = 'remove' THEN 'remove' END
      WHEN op = 'add' AND event IN ('reached', 'doubted') AND (held_op <> 'add' OR (held_op = 'add'
          AND (was_again IS NOT NULL
            OR had <> CASE WHEN event = 'reached' THEN fingerprint ELSE doubted_fingerprint END))
        OR (doubt_until IS NOT NULL AND (mixed OR (event = 'reached' AND doubted_fingerprint <> fingerprint))))
        THEN 'add'
      WHEN event = 'gone' AND held_op <> 'remove' THEN 'remove'
      WHEN event = 'refused' AND held_op IS NOT NULL THEN was_again END AS repeat
  FROM events WHERE event IS NOT NULL AND (op = 'add' OR known OR doubt_until > $now))
SELECT $sync, $audience, key, pid, external_id,
  CASE WHEN event = 'reached' THEN fingerprint WHEN event = 'gone' THEN CASE WHEN repeat IS NOT NULL THEN had END
    WHEN event = 'doubted' AND op = 'add' THEN doubted_fingerprint ELSE had END,
  CASE WHEN op = 'add' AND kind = 'rejected' THEN fingerprint
    WHEN event = 'refused' OR op = 'remove' THEN had_refused END,
  CASE WHEN op = 'add' AND kind = 'suppressed' THEN 'suppressed' WHEN event = 'reached' THEN 'present'
    WHEN event = 'gone' THEN CASE WHEN repeat IS NOT NULL THEN 'possible' ELSE 'absent' END
    WHEN event IN ('doubted', 'refused') AND op = 'remove' AND had IS NULL THEN coalesce(was, 'absent')
    WHEN event = 'doubted' OR (had IS NOT NULL AND op = 'add' AND was_again = 'add') THEN 'possible'
    WHEN had IS NOT NULL THEN was ELSE 'rejected' END,
  CASE WHEN event IN ('doubted', 'refused') THEN reason END,
  CASE WHEN op = 'add' AND kind = 'rejected' THEN attempts + 1 WHEN event IN ('doubted', 'refused') THEN attempts
    ELSE 0 END,
  "at", $run, CASE WHEN until > $now OR repeat IS NOT NULL THEN until END,
  CASE WHEN until > $now OR repeat IS NOT NULL THEN late END, repeat,
  CASE WHEN op = 'add' AND kind = 'rejected' THEN CASE attempts {_RETRY_AT} END
    WHEN event = 'refused' OR op = 'remove' THEN had_retry_at END
FROM judged
"""

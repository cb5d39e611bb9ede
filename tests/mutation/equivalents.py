"""Mutants that change nothing anybody could see, each with the reason why: reviewed by a person, line by line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Equivalent:
    """`was` is the line of the product, `became` what mutmut makes of it: each of these changes nothing."""

    function: str
    was: str
    became: tuple[str, ...]
    why: str


_FALSE = "Asked only for its truth: None is as false as False, nothing or an empty text."
_QUICKER = "A stretch is only the quicker way: the same people come out of it row by row."

EQUIVALENT = (
    # -- consent ------------------------------------------------------------------------------------------------------
    Equivalent(
        "storable",
        'return text.replace("\\x00", "").encode("utf-8", "replace").decode().strip()',
        ('return text.replace("\\x00", "").encode("UTF-8", "replace").decode().strip()',),
        "The name of the encoding is the same in capitals.",
    ),
    Equivalent(
        "_kept",
        "case str():\nreturn storable(value)",
        ("",),
        "A text that no case takes is made a text, which it is, and kept in the same way.",
    ),
    # -- the machine --------------------------------------------------------------------------------------------------
    Equivalent("Ahead.__init__", "self._reading = False", ("self._reading = None",), _FALSE),
    Equivalent("Ahead.__init__", "self._all_read = False", ("self._all_read = None",), _FALSE),
    Equivalent("Patience.__init__", "self._answered = False", ("self._answered = None",), _FALSE),
    Equivalent("Patience.__init__", 'self._last_trouble = ""', ("self._last_trouble = None",), _FALSE),
    Equivalent("Delivery.__init__", "self._finished = False", ("self._finished = None",), _FALSE),
    Equivalent("Ahead.add", "self._reading = False", ("self._reading = None",), _FALSE),
    Equivalent(
        "Patience.__init__",
        "self._silent = 0",
        ("self._silent = 1",),
        "Read once the retries are used up. Until the first answer each retry adds to the silence, which then is past "
        "the floor in any case; and the first answer sets it to nothing.",
    ),
    Equivalent("Attempt.read", "if named", ("if (named) or True",), _QUICKER),
    Equivalent(
        "Unlogged.__init__",
        "self._committing: tuple[int, int] | None = None",
        ('self._committing: tuple[int, int] | None = ""',),
        _FALSE,
    ),
    Equivalent(
        "Delivery._next_commands",
        "asked = [None if self._end else self._ahead.read_on(), self._log.commit(), self._finish()]",
        ("asked = [None if (self._end) and False else self._ahead.read_on(), self._log.commit(), self._finish()]",),
        "What is read on after the end is begun by nobody, and the end does not wait for it.",
    ),
    Equivalent(
        "told",
        "return rows if isinstance(rows, Stretch) else tuple(row._replace(unanswered=None) for row in rows)",
        (
            "return rows if (isinstance(rows, Stretch)) and False else "
            "tuple(row._replace(unanswered=None) for row in rows)",
        ),
        _QUICKER,
    ),
    Equivalent(
        "Delivery._abandon",
        "rows = doubted(batch.rows, batch.attempt.number) if batch.inquiry else batch.rows",
        ("rows = doubted(batch.rows, None) if batch.inquiry else batch.rows",),
        "The batch is closed as unknown, and that is said of the attempt; the row's own memory is not read again.",
    ),
    Equivalent(
        "Delivery._answered",
        "rows = doubted(batch.rows, batch.attempt.number)",
        ("rows = doubted(batch.rows, None)",),
        "The batch is closed as unknown, and that is said of the attempt; the row's own memory is not read again.",
    ),
    # -- rows and verdicts --------------------------------------------------------------------------------------------
    Equivalent(
        "keys_of",
        "people = rows.reading.people[rows.start : rows.stop] if isinstance(rows, Stretch) else rows",
        ("people = rows.reading.people[rows.start : rows.stop] if (isinstance(rows, Stretch)) and False else rows",),
        _QUICKER,
    ),
    Equivalent(
        "ops_of",
        "ops = rows.reading.ops[rows.start : rows.stop] if isinstance(rows, Stretch) else [row.op for row in rows]",
        (
            "ops = rows.reading.ops[rows.start : rows.stop] if (isinstance(rows, Stretch)) and False else "
            "[row.op for row in rows]",
        ),
        _QUICKER,
    ),
    Equivalent(
        "addressed",
        "people = list(zip(reading.people[among], reading.ops[among], strict=True))",
        (
            "people = list(zip(reading.people[among], reading.ops[among], strict=None))",
            "people = list(zip(reading.people[among], reading.ops[among], strict=False))",
            "people = list(zip(reading.people[among], reading.ops[among], ))",
        ),
        "The columns of a reading are of one length.",
    ),
    Equivalent(
        "_as_sent",
        "return row._replace(fingerprint=row.unanswered.fingerprint) if row.unanswered else row",
        ("return row._replace(fingerprint=row.unanswered.fingerprint) if (row.unanswered) or True else row",),
        "Both callers ask only for rows that went unanswered.",
    ),
)

"""What text may be read as which type, in SQL: the one place that knows what a number or a date looks like.

Every expression takes a SQL expression of a text that is neither null nor empty.
"""

from __future__ import annotations

from dataclasses import dataclass

from hub.core.records import TraitType

# At most 15 digits, which a double keeps, and no leading zeros: else it is a code, not a quantity.
FIGURES = "' *[+-]?(0|[1-9][0-9]{{0,14}})?([.][0-9]*)?([eE][+-]?[0-9]+)? *'"
NUMBER = "TRY_CAST({x} AS DOUBLE)"
IS_NUMBER = f"CASE WHEN regexp_full_match({{x}}, {FIGURES}) THEN coalesce(isfinite({NUMBER}), FALSE) ELSE FALSE END"
# What only an exponent of three digits can reach.
BEYOND = "' *[+-]?(0|[1-9][0-9]{{0,14}})([.][0-9]*)?[eE][+-]?[0-9]{{3,}} *'"
NO_NUMBER = (
    "(lower(trim({x})) IN ('nan', 'inf', '-inf', '+inf', 'infinity', '-infinity') "
    f"OR regexp_full_match({{x}}, {BEYOND}))"
)

YEAR_MONTH_DAY = "[12][0-9]{{3}}-[0-9]{{2}}-[0-9]{{2}}"
TIME = "[0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}([.][0-9]+)?)? ?(Z|UTC|[+-][0-9]{{2}}(:?[0-9]{{2}})?)?"
# Through TIMESTAMPTZ, because a cast to TIMESTAMP would drop the offset; the session's zone is UTC.
ZONED = "TRY_CAST({x} AS TIMESTAMPTZ)"
INSTANT = f"make_timestamp(epoch_us({ZONED}))"
IS_INSTANT = (
    f"CASE WHEN regexp_full_match({{x}}, '{YEAR_MONTH_DAY}([T ]{TIME})?') THEN {ZONED} IS NOT NULL ELSE FALSE END"
)
LIKE_A_DATE = f"regexp_matches({{x}}, '^{YEAR_MONTH_DAY}([T ]|$)')"

TEXTS = "CASE WHEN json_valid({x}) THEN json_extract_string({x}, '$[*]') END"
IS_TEXTS = (
    "CASE WHEN left({x}, 1) = '[' AND json_valid({x}) "
    "THEN len(list_filter(json_type({x}, '$[*]'), lambda kind: kind <> 'VARCHAR')) = 0 ELSE FALSE END"
)


@dataclass(frozen=True, slots=True)
class Form:
    """How one type is read from text. `fits`: the text is a value of it. `like`: it is not, but looks like one (a 30th
    of February, NaN), so that the column is of this type all the same and the row is rejected."""

    type: TraitType
    storage: str
    article: str
    value_of: str
    fits_if: str
    like_if: str | None = None

    def value(self, text: str) -> str:
        return self.value_of.format(x=text)

    def fits(self, text: str) -> str:
        return self.fits_if.format(x=text)

    def like(self, text: str) -> str:
        return f"({self.fits(text)} OR {self.like_if.format(x=text)})" if self.like_if else self.fits(text)


DATED = "a date or an instant such as 2025-01-31 or 2025-01-31T12:00:00Z"
FORMS = {
    form.type: form
    for form in (
        Form(TraitType.BOOLEAN, "BOOLEAN", "true or false", "lower({x}) = 'true'", "lower({x}) IN ('true', 'false')"),
        Form(TraitType.NUMBER, "DOUBLE", "a finite number", NUMBER, IS_NUMBER, NO_NUMBER),
        Form(TraitType.DATETIME, "TIMESTAMP", DATED, INSTANT, IS_INSTANT, LIKE_A_DATE),
        Form(TraitType.TEXTS, "VARCHAR[]", "a JSON list of texts", TEXTS, IS_TEXTS),
        Form(TraitType.TEXT, "VARCHAR", "text", "{x}", "TRUE"),
    )
}


def read_as(kind: TraitType, text: str) -> str:
    """The typed value of a cell; null for an absent or empty one. Only for cells that fit."""
    if kind is TraitType.TEXT:
        return f"nullif({text}, '')"
    return f"CASE WHEN {text} <> '' THEN {FORMS[kind].value(text)} END"


def misfit(kind: TraitType, text: str) -> str:
    """True for a filled cell that is no value of the type."""
    return f"({text} <> '' AND NOT {FORMS[kind].fits(text)})"

"""What text may be read as which type, in SQL: the one place that knows what a number or a date looks like.

Each engine brings functions of its own under names that all share (`FUNCTIONS`); they take a text that is neither null
nor empty, and say of one that does not fit that it does not, or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from hub.core.records import TraitType

# At most 15 digits, which a double keeps, and no leading zeros: else it is a code, not a quantity.
FIGURES = " *[+-]?(0|[1-9][0-9]{0,14})?([.][0-9]*)?([eE][+-]?[0-9]+)? *"
# What only an exponent of three digits can reach.
BEYOND = " *[+-]?(0|[1-9][0-9]{0,14})([.][0-9]*)?[eE][+-]?[0-9]{3,} *"
NAMED = "('nan', 'inf', '-inf', '+inf', 'infinity', '-infinity')"
YEAR_MONTH_DAY = "[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}"
# An offset can take an instant of the last day beyond what Python knows.
TOO_LATE = "TIMESTAMP '10000-01-01'"
# No more than all engines read: one of them takes a 61st second, another an offset of a whole day.
ZONE = "Z| UTC|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?"
TIME = f"[0-9]{{2}}:[0-9]{{2}}(:[0-5][0-9]([.][0-9]+)?)?({ZONE})?"
MOMENT = f"{YEAR_MONTH_DAY}([T ]{TIME})?"

# Through TIMESTAMPTZ, because a cast to TIMESTAMP would drop the offset; the session's zone is UTC.
DUCKDB = {
    "hub_number(x)": "TRY_CAST(x AS DOUBLE)",
    "hub_is_number(x)": f"CASE WHEN regexp_full_match(x, '{FIGURES}') THEN coalesce(isfinite(TRY_CAST(x AS DOUBLE)), "
    "FALSE) ELSE FALSE END",
    "hub_no_number(x)": f"(lower(trim(x)) IN {NAMED} OR regexp_full_match(x, '{BEYOND}'))",
    "hub_instant(x)": "make_timestamp(epoch_us(TRY_CAST(x AS TIMESTAMPTZ)))",
    "hub_is_instant(x)": f"CASE WHEN regexp_full_match(x, '{MOMENT}') "
    f"THEN coalesce(hub_instant(x) < {TOO_LATE}, FALSE) ELSE FALSE END",
    "hub_like_a_date(x)": f"regexp_matches(x, '^{YEAR_MONTH_DAY}([T ]|$)')",
    "hub_texts(x)": "CASE WHEN json_valid(x) THEN json_extract_string(x, '$[*]') END",
    "hub_is_texts(x)": "CASE WHEN left(x, 1) = '[' AND json_valid(x) "
    "THEN len(list_filter(json_type(x, '$[*]'), lambda kind: kind <> 'VARCHAR')) = 0 "
    "AND NOT contains(array_to_string(json_extract_string(x, '$[*]'), ''), chr(0)) ELSE FALSE END",
    "hub_hash(x)": "hash(x)",
}

# Too small for a double is 0, of its sign; too large is none, and takes an exponent of three digits without a minus.
TOO_SMALL = (
    "WHEN numeric_value_out_of_range THEN "
    "RETURN CASE WHEN x !~ '[eE][+]?[0-9]{3}' THEN CAST(substring(x, '^ *-?') || '0' AS double precision) END;"
)
TRY = "BEGIN {asked} EXCEPTION WHEN data_exception THEN RETURN NULL; END"
POSTGRES = {
    "hub_number(x text) RETURNS double precision LANGUAGE plpgsql": TRY.format(
        asked="RETURN CAST(x AS double precision);"
    ).replace("EXCEPTION", f"EXCEPTION {TOO_SMALL}"),
    "hub_is_number(x text) RETURNS boolean LANGUAGE sql": f"SELECT CASE WHEN x ~ '^({FIGURES})$' "
    "THEN hub_number(x) IS NOT NULL ELSE FALSE END",
    "hub_no_number(x text) RETURNS boolean LANGUAGE sql": f"SELECT lower(trim(x)) IN {NAMED} OR x ~ '^({BEYOND})$'",
    "hub_instant(x text) RETURNS timestamp LANGUAGE plpgsql": TRY.format(
        # What is finer than a microsecond is cut off, as the other engine does, and not rounded.
        asked="RETURN CAST(regexp_replace(x, '([.][0-9]{6})[0-9]+', '\\1') AS timestamptz) AT TIME ZONE 'UTC';"
    ),
    "hub_is_instant(x text) RETURNS boolean LANGUAGE sql": f"SELECT CASE WHEN x ~ '^({MOMENT})$' "
    f"THEN coalesce(hub_instant(x) < {TOO_LATE}, FALSE) ELSE FALSE END",
    "hub_like_a_date(x text) RETURNS boolean LANGUAGE sql": f"SELECT x ~ '^{YEAR_MONTH_DAY}([T ]|$)'",
    "hub_texts(x text) RETURNS varchar[] LANGUAGE plpgsql": TRY.format(
        asked="RETURN ARRAY(SELECT jsonb_array_elements_text(CAST(x AS jsonb)));"
    ),
    "hub_is_texts(x text) RETURNS boolean LANGUAGE plpgsql": TRY.format(
        asked="RETURN left(x, 1) = '[' AND NOT EXISTS (SELECT 1 FROM jsonb_array_elements(CAST(x AS jsonb)) AS e "
        "WHERE jsonb_typeof(e) <> 'string');"
    ).replace("RETURN NULL", "RETURN FALSE"),
    "hub_hash(x text) RETURNS integer LANGUAGE sql": "SELECT hashtext(x)",
}

FUNCTIONS = {
    "duckdb": tuple(f"CREATE OR REPLACE MACRO {head} AS {body}" for head, body in DUCKDB.items()),
    "postgres": tuple(
        f"CREATE OR REPLACE FUNCTION {head} IMMUTABLE STRICT AS $hub${body}$hub$" for head, body in POSTGRES.items()
    ),
}


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
        Form(
            TraitType.NUMBER, "DOUBLE", "a finite number", "hub_number({x})", "hub_is_number({x})", "hub_no_number({x})"
        ),
        Form(TraitType.DATETIME, "TIMESTAMP", DATED, "hub_instant({x})", "hub_is_instant({x})", "hub_like_a_date({x})"),
        Form(TraitType.TEXTS, "VARCHAR[]", "a JSON list of texts", "hub_texts({x})", "hub_is_texts({x})"),
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

"""A small world for rules: a catalogue, awkward values, people, and rules over them, all generated."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Any

from hypothesis import strategies as st

from hub.core.records import EventType, Trait, TraitType
from hub.core.rules.catalogue import Catalogue
from hub.core.rules.judge import Event, Person

AS_OF = datetime(2025, 6, 15, 12, 0, 0)
TEXT, NUMBER, BOOLEAN, DATETIME, TEXTS = TraitType


def trait(name: str, kind: TraitType) -> Trait:
    return Trait(name, f"t_{name.lower()}", kind)


def prop(name: str, kind: TraitType) -> Trait:
    return Trait(name, f"p_{name.lower()}", kind)


TRAITS = (
    trait("country", TEXT),
    trait("plan", TEXT),
    trait("city", TEXT),
    trait("email", TEXT),
    trait("age", NUMBER),
    trait("ltv", NUMBER),
    trait("member_days", NUMBER),
    trait("email_consent", BOOLEAN),
    trait("signed_up_at", DATETIME),
    trait("renewed_at", DATETIME),
    trait("tags", TEXTS),
)
PROPERTIES = (prop("value", NUMBER), prop("category", TEXT), prop("gift", BOOLEAN), prop("shipped_at", DATETIME))
EVENTS = (
    EventType("purchase", PROPERTIES),
    EventType("product_view", PROPERTIES),
    EventType("Order Completed", (prop("value", NUMBER),)),
)
SEGMENTS = {
    "vip": 'ltv > 2 and did(purchase) or plan = "pro"',
    "recent_buyers": "did(purchase, last 7 days)",
    "staff": 'email ends with "@example.com"',
    "nested": 'in segment "vip" and not in segment "recent_buyers"',
}
CATALOGUE = Catalogue.of(TRAITS, EVENTS, SEGMENTS)
SQL_TYPES = {
    TEXT: "VARCHAR",
    NUMBER: "DOUBLE PRECISION",
    BOOLEAN: "BOOLEAN",
    DATETIME: "TIMESTAMP",
    TEXTS: "VARCHAR[]",
}
TABLES = {
    "profiles": [("pid", "BIGINT"), *((t.column, SQL_TYPES[t.type]) for t in TRAITS)],
    "events": [
        ("pid", "BIGINT"),
        ("ts", "TIMESTAMP"),
        ("name", "VARCHAR"),
        *((p.column, SQL_TYPES[p.type]) for p in PROPERTIES),
    ],
}

# Wild cards of LIKE, quotes, an upper case that sorts before lower, an accent in two spellings, and two characters that
# UTF-16 would sort the other way round than code points do.
AWKWARD = (
    "", "a", "A", "b", "B", "ab", "de", "DE", "free", "pro", "Berlin", "berlin", "100%", "%", "a_b", "_", "a\\b", "\\",
    "x'y", "'", 'x"y', '"', ";--", "é", "é", "ß", "ss", "\uffee", "\U0001f600", "z", " a", "a ", "tab\t", "new\nline",
    "u@example.com", "${7*7}", "{{7*7}}", "__class__", "$1", "$as_of", ":name", "?",
)  # fmt: skip
EDGES = (7, 30, 90)
TICK = timedelta(microseconds=1)
INSTANTS = (
    datetime(1, 1, 1),
    datetime(1970, 1, 1),
    datetime(2024, 2, 29, 23, 59, 59, 999999),
    datetime(2025, 1, 1),
    datetime(2025, 1, 1, 0, 0, 0, 1),
    *(AS_OF - timedelta(days=days) + shift for days in EDGES for shift in (-TICK, timedelta(0), TICK)),
    AS_OF - TICK,
    AS_OF,
    AS_OF + TICK,
    datetime(9999, 12, 31, 23, 59, 59, 999999),
)
# Sums of these are exact in every order, so that engines may add as they like.
NUMBERS = (0.0, -0.0, 0.5, 1.0, 2.0, 2.25, -3.0, 20.0, 35.0, 2.0**40)
ODD_NUMBERS = (*NUMBERS, 0.1, 0.30000000000000004, 1e-7, 2.0**63, float("inf"), float("-inf"), float("nan"))

POOLS: dict[TraitType, tuple[Any, ...]] = {
    TEXT: AWKWARD,
    NUMBER: ODD_NUMBERS,
    BOOLEAN: (True, False),
    DATETIME: INSTANTS,
}


def crowd(size: int = 300) -> tuple[Person, ...]:
    """Always the same people: many near every edge, a third of what could be known of them unknown."""
    chance = Random(20250615)
    return tuple(_someone(chance) for _ in range(size))


def _someone(chance: Random) -> Person:
    known = {t.name: _value(chance, t.type, ODD_NUMBERS) for t in TRAITS}
    return Person(known, [_something(chance) for _ in range(chance.choice((0, 1, 1, 2, 3, 6)))])


def _something(chance: Random) -> Event:
    of = {p.name: _value(chance, p.type, NUMBERS) for p in PROPERTIES}
    return Event(chance.choice(EVENTS).name, chance.choice(INSTANTS), of)


def _value(chance: Random, kind: TraitType, numbers: tuple[float, ...]) -> Any:
    if chance.random() < 1 / 3:
        return None
    if kind is TEXTS:
        return [chance.choice(AWKWARD[:12]) for _ in range(chance.randrange(4))]
    return chance.choice(numbers if kind is NUMBER else POOLS[kind])


texts = st.sampled_from(AWKWARD)
instants = st.sampled_from(INSTANTS)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def number(value: float) -> str:
    return repr(value)


def named(options: tuple[Trait, ...], kind: TraitType) -> st.SearchStrategy[str]:
    return st.sampled_from([option.name for option in options if option.type is kind])


literals = texts.map(quoted)
finite = st.sampled_from([value for value in ODD_NUMBERS if value == value and abs(value) != float("inf")]).map(number)
dates = instants.map(lambda instant: quoted(instant.isoformat()))
durations = st.sampled_from(["7 days", "30 days", "90 DAYS", "1 week", "168 hours", "604800 seconds", "36525 days"])
comparisons = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])


def listed(options: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(options, min_size=1, max_size=4).map(lambda found: f"({', '.join(found)})")


def leaves(options: tuple[Trait, ...], numbers: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Conditions about single values; `numbers` are the numeric values to be had."""
    of_text, of_date = named(options, TEXT), named(options, DATETIME)
    return st.one_of(
        st.tuples(of_text, comparisons, literals | of_text).map(" ".join),
        st.tuples(of_text, st.sampled_from(["in", "not in", "NOT IN"]), listed(literals)).map(" ".join),
        st.tuples(of_text, st.sampled_from(["contains", "starts with", "Ends With"]), literals).map(" ".join),
        st.tuples(of_text, st.just("between"), literals, st.just("and"), literals).map(" ".join),
        st.tuples(numbers, comparisons, numbers | finite).map(" ".join),
        st.tuples(numbers, st.just("between"), finite, st.just("and"), finite).map(" ".join),
        st.tuples(numbers, st.sampled_from(["in", "not in"]), listed(finite)).map(" ".join),
        st.tuples(of_date, st.sampled_from(["before", "after", "<", ">=", "=", "!="]), moments | of_date).map(" ".join),
        st.tuples(of_date, st.just("between"), dates, st.just("and"), dates).map(" ".join),
        st.tuples(of_date, durations).map(" in last ".join),
        st.tuples(
            st.sampled_from([option.name for option in options]), st.sampled_from(["is known", "is unknown"])
        ).map(" ".join),
        named(options, BOOLEAN),
        st.tuples(named(options, BOOLEAN), st.sampled_from(["= true", "!= true", "= false"])).map(" ".join),
    )


moments = dates | durations.map(lambda duration: f"{duration} ago")


def combined(parts: st.SearchStrategy[str], most: int = 4) -> st.SearchStrategy[str]:
    return st.recursive(
        parts,
        lambda inner: st.one_of(
            inner.map(lambda part: f"not ({part})"),
            inner.map(lambda part: f"NOT {part}" if " or " not in part and " and " not in part else f"({part})"),
            st.lists(inner, min_size=2, max_size=3).map(lambda found: " and ".join(f"({part})" for part in found)),
            st.lists(inner, min_size=2, max_size=3).map(lambda found: " or ".join(f"({part})" for part in found)),
        ),
        max_leaves=most,
    )


wheres = combined(leaves(PROPERTIES, named(PROPERTIES, NUMBER)), most=2).map(lambda part: f" where {part}")
windows = durations.map(lambda duration: f", last {duration}")


def selection(of: str = "") -> st.SearchStrategy[str]:
    name = st.sampled_from(["purchase", "product_view", "any event"])
    return st.tuples(name, st.just(of), st.just("") | wheres, st.just("") | windows).map("".join)


plain = st.sampled_from(
    ["`Order Completed`", "`Order Completed`, last 7 days", "never_seen", "never_seen, last 1 week"]
)
selections = selection() | plain
dids = selections.map(lambda found: f"did({found})")
folds = st.one_of(
    selections.map(lambda found: f"count({found})"),
    st.tuples(st.sampled_from(["sum", "avg", "MIN", "max"]), selection(".value")).map(lambda f: f"{f[0]}({f[1]})"),
    st.sampled_from(["value", "category", "gift", "shipped_at"])
    .flatmap(lambda of: selection(f".{of}"))
    .map(lambda found: f"distinct({found})"),
    st.sampled_from(["sum(never_seen.x)", "avg(never_seen.x, last 7 days)", "distinct(never_seen.x)"]),
)
trait_numbers = named(TRAITS, NUMBER)
numbers = st.one_of(
    trait_numbers,
    folds,
    st.tuples(trait_numbers | folds, st.sampled_from(["+", "-", "*", "/"]), trait_numbers | folds | finite).map(
        " ".join
    ),
    (trait_numbers | folds).map(lambda value: f"-{value}"),
)
of_events = st.one_of(
    dids,
    st.sampled_from(sorted(SEGMENTS)).map(lambda key: f'in segment "{key}"'),
    st.tuples(folds, comparisons, finite).map(" ".join),
    st.tuples(st.sampled_from(["first", "last"]), selections, st.sampled_from(["before", "after", "<="]), moments).map(
        lambda found: f"{found[0]}({found[1]}) {found[2]} {found[3]}"
    ),
    st.tuples(st.sampled_from(["first", "last"]), selections, durations).map(
        lambda found: f"{found[0]}({found[1]}) in last {found[2]}"
    ),
    st.tuples(st.sampled_from(["min", "max"]), selection(".shipped_at"), moments).map(
        lambda found: f"{found[0]}({found[1]}) after {found[2]}"
    ),
    st.tuples(st.just("tags has"), st.sampled_from(["any", "ALL"]), listed(literals)).map(" ".join),
    st.just("everyone"),
)
rules = combined(leaves(TRAITS, numbers) | of_events)

# Each form at least once, by itself and at the edges, so that no luck is needed to meet it.
WINDOWED = ("7 days", "30 days", "90 days")
FORMS = (
    *(f"did(purchase, last {window})" for window in WINDOWED),
    *(f"count(any event, last {window}) >= 2" for window in WINDOWED),
    *(f"signed_up_at in last {window}" for window in WINDOWED),
    *(f"signed_up_at {sign} {window} ago" for window in WINDOWED for sign in ("before", "after", "<=", ">=", "=")),
    *(f"{fold}(purchase) {sign} 30 days ago" for fold in ("first", "last") for sign in ("before", "after", ">=")),
    *(f"ltv {sign} {value}" for sign in ("=", "!=", "<", "<=", ">", ">=") for value in ("0", "2.25", "0.1", "-3")),
    *(f"city {sign} {quoted(text)}" for sign in ("<", ">=", "=", "!=") for text in ("a", "B", "é", "\uffee", "")),
    *(
        f"city {manner} {quoted(text)}"
        for manner in ("contains", "starts with", "ends with")
        for text in ("a", "%", "_")
    ),
    *(f"{fold}(purchase.value) {sign} 2" for fold in ("sum", "avg", "min", "max") for sign in ("<", ">=", "=")),
    *(f"distinct(any event.{of}) >= 2" for of in ("value", "category", "gift", "shipped_at")),
    'tags has any ("a", "DE")',
    'tags has all ("a", "b")',
    'tags has all ("a")',
    "tags is known",
    'city between "A" and "b"',
    "ltv between 0 and 2.25",
    'city in ("a", "b", "100%")',
    'city not in ("a", "b")',
    "email_consent",
    "email_consent = false",
    "email_consent != true",
    "ltv / age > 1",
    "age - ltv * 2 < 1",
    "ltv / count(purchase) >= 1",
    "count(purchase) / count(product_view) > 0.5",
    "count(purchase) = 0",
    "sum(purchase.value, last 90 days) = 0",
    "did(purchase) and did(product_view)",
    "did(purchase) and not did(product_view)",
    "not did(purchase) and not did(product_view)",
    "did(purchase) or did(product_view)",
    "did(purchase) or not did(product_view, last 30 days)",
    "count(purchase) >= 1 and not did(product_view)",
    "email_consent and count(purchase) >= 1 and avg(product_view.value) > 1",
    "did(product_view) and sum(purchase.value) > 1",
    "did(purchase where value > 1)",
    "did(purchase where not (value > 1))",
    "did(purchase where value is unknown or gift)",
    "did(any event where shipped_at in last 30 days)",
    "did(any event where shipped_at before 30 days ago, last 90 days)",
    *(f'in segment "{key}"' for key in SEGMENTS),
    'in segment "staff" or not in segment "vip"',
    'ltv > 1 and not in segment "staff"',
    "avg(never_seen.x) = 0",
    "max(never_seen.x) > 0 or did(never_seen where x = 1)",
    "sum(never_seen.x) = 0",
    "everyone",
    "everyone or email_consent",
)

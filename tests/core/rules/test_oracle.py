"""The naive evaluator, DuckDB and PostgreSQL say the same of everybody: true, false and unknown."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import HealthCheck, given

from hub.core.rules.check import check_text
from hub.core.rules.judge import Person, judge
from tests.core.rules.engines import InDuckDb, InPostgres, RuleEngine, members
from tests.core.rules.world import AS_OF, CATALOGUE, FORMS, crowd, rules
from tests.searching import search

LEISURE = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]


pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")


def judged(people: tuple[Person, ...], rule: str, as_of: datetime) -> dict[int, bool | None]:
    checked = check_text(rule, CATALOGUE)
    return {pid: judge(checked.rule, person, as_of).verdict for pid, person in enumerate(people)}


def asked(engine: RuleEngine, people: tuple[Person, ...], rule: str, as_of: datetime) -> dict[int, bool | None]:
    """Who is a member of the rule is true, who is one of its denial false, and the rest unknown."""
    true, false = members(engine, rule, as_of), members(engine, f"not ({rule})", as_of)
    assert not true & false
    return {pid: True if pid in true else False if pid in false else None for pid in range(len(people))}


CROWD = crowd()


@pytest.fixture(scope="module")
def full_duck(duck: InDuckDb) -> InDuckDb:
    duck.fill(CROWD)
    return duck


@pytest.fixture(scope="module")
def full_postgres(postgres: InPostgres) -> InPostgres:
    postgres.fill(CROWD)
    return postgres


@pytest.mark.parametrize("rule", FORMS)
def test_duckdb_agrees_on_every_form(full_duck: InDuckDb, rule: str) -> None:
    assert asked(full_duck, CROWD, rule, AS_OF) == judged(CROWD, rule, AS_OF)


@pytest.mark.postgres
@pytest.mark.parametrize("rule", FORMS)
def test_postgresql_agrees_on_every_form(full_postgres: InPostgres, rule: str) -> None:
    assert asked(full_postgres, CROWD, rule, AS_OF) == judged(CROWD, rule, AS_OF)


@search(30, suppress_health_check=LEISURE)
@given(rule=rules)
def test_duckdb_agrees_with_the_naive_evaluator(full_duck: InDuckDb, rule: str) -> None:
    assert asked(full_duck, CROWD, rule, AS_OF) == judged(CROWD, rule, AS_OF)


@pytest.mark.postgres
@search(30, suppress_health_check=LEISURE)
@given(rule=rules)
def test_postgresql_agrees_with_the_naive_evaluator(full_postgres: InPostgres, rule: str) -> None:
    assert asked(full_postgres, CROWD, rule, AS_OF) == judged(CROWD, rule, AS_OF)


@pytest.mark.parametrize("rule", FORMS)
def test_the_crowd_tells_the_forms_apart(rule: str) -> None:
    """A rule of which everybody says the same would prove little."""
    assert len(set(judged(CROWD, rule, AS_OF).values())) > 1 or "never_seen" in rule or rule.startswith("everyone")

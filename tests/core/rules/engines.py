"""DuckDB and PostgreSQL with a generated world in them, to be asked for who a rule makes a member."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol

import duckdb
import pytest

from hub.core.rules.check import check_text
from hub.core.rules.compile import compile_rule
from hub.core.rules.judge import Person
from tests.core.rules.world import CATALOGUE, PROPERTIES, TABLES, TRAITS
from tests.postgres_server import postgres_url


class RuleEngine(Protocol):
    dialect: str

    def fill(self, people: tuple[Person, ...]) -> None: ...

    def pids(self, sql: str, as_of: datetime) -> list[tuple[Any, ...]]: ...


def members(engine: RuleEngine, rule: str, as_of: datetime) -> set[int]:
    """The pids for whom the rule is true; the query gives one column and nobody twice."""
    rows = engine.pids(compile_rule(check_text(rule, CATALOGUE), engine.dialect), as_of)
    assert all(len(row) == 1 for row in rows)
    pids = [row[0] for row in rows]
    assert len(pids) == len(set(pids))
    return set(pids)


def rows_of(people: tuple[Person, ...]) -> dict[str, list[list[Any]]]:
    profiles = [[pid, *(person.traits.get(t.name) for t in TRAITS)] for pid, person in enumerate(people)]
    events = [
        [pid, event.ts, event.name, *(event.properties.get(p.name) for p in PROPERTIES)]
        for pid, person in enumerate(people)
        for event in person.events
    ]
    return {"profiles": profiles, "events": events}


class InDuckDb:
    dialect = "duckdb"

    def __init__(self) -> None:
        self.connection = duckdb.connect(":memory:")
        self.connection.execute("SET TimeZone = 'UTC'; SET threads = 1")
        for name, columns in TABLES.items():
            self.connection.execute(f"CREATE TABLE {name} ({', '.join(' '.join(column) for column in columns)})")

    def fill(self, people: tuple[Person, ...]) -> None:
        for table, rows in rows_of(people).items():
            self.connection.execute(f"DELETE FROM {table}")
            if rows:
                marks = ", ".join("?" for _ in rows[0])
                self.connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)

    def pids(self, sql: str, as_of: datetime) -> list[tuple[Any, ...]]:
        asked = f"WITH clock AS (SELECT CAST($as_of AS TIMESTAMP) AS as_of) SELECT * FROM ({sql}) AS rule"
        return self.connection.execute(asked, {"as_of": as_of}).fetchall()


class InPostgres:
    dialect = "postgres"

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        for name, columns in TABLES.items():
            # A collation that does not sort by code point, as a database of an admin's choosing may have.
            collated = (f"{n} {t} COLLATE rules_icu" if t == "VARCHAR" else f"{n} {t}" for n, t in columns)
            connection.execute(f"CREATE TABLE {name} ({', '.join(collated)})")

    def fill(self, people: tuple[Person, ...]) -> None:
        for table, rows in rows_of(people).items():
            self.connection.execute(f"TRUNCATE {table}")
            if rows:
                marks = ", ".join("%s" for _ in rows[0])
                self.connection.cursor().executemany(f"INSERT INTO {table} VALUES ({marks})", rows)

    def pids(self, sql: str, as_of: datetime) -> list[tuple[Any, ...]]:
        # A percent sign inside the rule is text, and not a mark for a parameter.
        escaped = sql.replace("%", "%%")
        asked = f"WITH clock AS (SELECT CAST(%(as_of)s AS TIMESTAMP) AS as_of) SELECT * FROM ({escaped}) AS rule"
        return self.connection.execute(asked, {"as_of": as_of}).fetchall()


@contextmanager
def in_postgres() -> Iterator[InPostgres]:
    """A schema of its own, dropped afterwards. Without a server the test is skipped, or fails where one is required."""
    import psycopg

    with postgres_url() as url:
        if url is None:
            if os.environ.get("HUB_REQUIRE_POSTGRES") == "1":
                pytest.fail("HUB_REQUIRE_POSTGRES=1, and no PostgreSQL was found")
            pytest.skip("no PostgreSQL was found")
        with psycopg.connect(url, autocommit=True) as connection:
            schema = f"rules_{os.getpid()}"
            connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}")
            connection.execute(f"SET search_path = {schema}; SET TimeZone = 'UTC'")
            connection.execute("CREATE COLLATION rules_icu (provider = icu, locale = 'en-US')")
            try:
                yield InPostgres(connection)
            finally:
                connection.execute(f"DROP SCHEMA {schema} CASCADE")

"""Real engines with the hub's schema, and worlds written straight into their tables."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest

from hub.warehouse import catalogue, consent, evaluate, outcomes, plan, profiles, settle
from hub.warehouse.duckdb import open_duckdb
from hub.warehouse.schema import META, create_or_upgrade
from tests.postgres_server import LOCAL, answers
from tests.warehouse.planning_model import World

TRAITS = (
    "ALTER TABLE profiles ADD COLUMN t_email VARCHAR",
    "ALTER TABLE profiles ADD COLUMN t_ltv DOUBLE PRECISION",
    "INSERT INTO traits (name, column_name, type, classification) VALUES ('email', 't_email', 'text', 'identifier')",
    "INSERT INTO traits (name, column_name, type, classification) VALUES ('ltv', 't_ltv', 'number', 'unclassified')",
)
WORLD = ("profiles", "identifiers", "consent", "memberships")
RUNS = ("plans", "plan", "outcomes", "delivered")


class PostgresPlane:
    """Just enough of an engine on a live PostgreSQL to run the planner's statements there, never committed."""

    dialect = "postgres"

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def _ask(self, sql: str, params: dict[str, Any] | None) -> Any:
        return self.connection.execute(re.sub(r"\$([a-z_]+\d*)", r"%(\1)s", sql), params or {})

    def execute(self, sql: str, params: dict[str, Any] | None = None) -> int:
        return int(self._ask(sql.replace(" USING COMPRESSION uncompressed", ""), params).rowcount)

    def rows(self, sql: str, params: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        return list(self._ask(sql, params).fetchall())

    def query(self, sql: str, params: dict[str, Any] | None = None) -> pa.Table:
        answer = self._ask(sql, params)
        columns = zip(*answer.fetchall(), strict=True)
        names = [column.name for column in answer.description]
        return (
            pa.Table.from_arrays([pa.array(column) for column in columns], names) if answer.rowcount else pa.table({})
        )

    def load(self, name: str, rows: pa.Table) -> None:
        kinds = {"int64": "BIGINT", "int32": "INTEGER", "string": "VARCHAR", "timestamp[us]": "TIMESTAMP"}
        columns = ", ".join(f'"{field.name}" {kinds[str(field.type)]}' for field in rows.schema)
        self.connection.execute(f"CREATE TEMP TABLE {name} ({columns})")
        self.append(name, rows)

    def append(self, table: str, rows: pa.Table) -> None:
        names = ", ".join(f'"{name}"' for name in rows.column_names)
        marks = ", ".join(["%s"] * rows.num_columns)
        with self.connection.cursor() as cursor:
            lines = [tuple(row.values()) for row in rows.to_pylist()]
            cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", lines)

    @contextmanager
    def write(self) -> Iterator[PostgresPlane]:
        yield self


@contextmanager
def duckdb_plane() -> Iterator[Any]:
    engine = open_duckdb(":memory:", threads=1)
    try:
        create_or_upgrade(engine)
        with engine.write() as tx:
            for statement in TRAITS:
                tx.execute(statement)
        yield engine
    finally:
        engine.close()


@contextmanager
def postgres_plane() -> Iterator[Any]:
    import psycopg

    url = os.environ.get("HUB_TEST_POSTGRES_URL") or LOCAL
    if not answers(url):
        pytest.skip("no PostgreSQL server answers")
    with psycopg.connect(url) as connection:
        # Everything happens in a schema of this one transaction, which is never committed.
        name = f"plan_{uuid4().hex}"
        connection.execute(f"CREATE SCHEMA {name}")
        connection.execute(f"SET LOCAL search_path TO {name}")
        plane = PostgresPlane(connection)
        owners = (catalogue, profiles, evaluate, consent, plan, outcomes, settle)
        owned = [statement.replace("BLOB", "BYTEA") for owner in owners for statement in owner.DDL]
        for statement in (*META, *owned, *TRAITS):
            plane.execute(statement)
        try:
            yield plane
        finally:
            connection.rollback()


PLANES = {"duckdb": duckdb_plane, "postgres": postgres_plane}


@contextmanager
def open_plane(name: str) -> Iterator[Any]:
    with PLANES[name]() as plane:
        yield plane


def empty(engine: Any, *tables: str) -> None:
    with engine.write() as tx:
        for name in tables:
            tx.execute(f"DELETE FROM {name}")


def naive(moment: datetime | None) -> datetime | None:
    return moment and moment.astimezone(UTC).replace(tzinfo=None)


def write_world(engine: Any, world: World, at: datetime, segment: int = 1) -> None:
    """Make the tables hold exactly this world."""
    empty(engine, *WORLD)
    with engine.write() as tx:
        for pid, one in world.profiles.items():
            who = {"pid": pid, "id": f"p{pid}", "email": one.email, "ltv": one.ltv, "now": naive(at)}
            tx.execute("INSERT INTO profiles VALUES ($pid, $id, $now, $now, $email, $ltv)", who)
            for value in one.older | ({one.email} if one.email else set()):
                link = {"pid": pid, "value": value, "subject": b"s", "now": naive(at)}
                tx.execute("INSERT INTO identifiers VALUES ($pid, 'email', $value, $subject, $now, 1)", link)
        for pid in world.members:
            tx.execute(
                "INSERT INTO memberships (segment, lens, pid, entered_at) VALUES ($segment, 'live', $pid, $now)",
                {"segment": segment, "pid": pid, "now": naive(at)},
            )
        for (pid, purpose), end in world.consents.items():
            state = "DENIED" if end is False else "GRANTED"
            until = None if end is False else naive(end)  # type: ignore[arg-type]
            said = {"pid": pid, "purpose": purpose, "state": state, "now": naive(at), "until": until}
            tx.execute("INSERT INTO consent VALUES ($pid, $purpose, $state, $now, $until, 1)", said)

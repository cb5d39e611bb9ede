"""Real engines with the hub's schema, and worlds written straight into their tables."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from hub.warehouse.basis import note_changed_people
from hub.warehouse.consent import bump_generation
from hub.warehouse.duckdb import open_duckdb
from hub.warehouse.schema import create_or_upgrade
from tests.postgres_server import LOCAL, answers
from tests.warehouse.planning_model import World

TRAITS = (
    "ALTER TABLE profiles ADD COLUMN t_email VARCHAR",
    "ALTER TABLE profiles ADD COLUMN t_ltv DOUBLE PRECISION",
    "INSERT INTO traits (name, column_name, type, classification) VALUES ('email', 't_email', 'text', 'identifier')",
    "INSERT INTO traits (name, column_name, type, classification) VALUES ('ltv', 't_ltv', 'number', 'unclassified')",
)
WORLD = ("profiles", "identifiers", "consent", "memberships")
RUNS = ("plans", "plan", "outcomes", "taken", "delivered")


@contextmanager
def duckdb_engine() -> Iterator[Any]:
    engine = open_duckdb(":memory:", threads=1)
    try:
        yield engine
    finally:
        engine.close()


@contextmanager
def postgres_engine() -> Iterator[Any]:
    """On a schema of its own of a real server."""
    import psycopg

    from hub.warehouse.postgres import open_postgres

    url = os.environ.get("HUB_TEST_POSTGRES_URL") or LOCAL
    if not answers(url):
        pytest.skip("no PostgreSQL server answers")
    name = f"plane_{uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE SCHEMA {name}")
        engine = open_postgres(f"{url}?options=-csearch_path%3D{name}%20-csynchronous_commit%3Doff")
        try:
            yield engine
        finally:
            engine.close()
            server.execute(f"DROP SCHEMA {name} CASCADE")


ENGINES = {"duckdb": duckdb_engine, "postgres": postgres_engine}
BOTH = [pytest.param("duckdb"), pytest.param("postgres", marks=pytest.mark.postgres)]


@contextmanager
def open_engine(name: str) -> Iterator[Any]:
    """An engine with the hub's schema and nothing in it."""
    with ENGINES[name]() as engine:
        create_or_upgrade(engine)
        yield engine


@contextmanager
def open_plane(name: str) -> Iterator[Any]:
    """The same with two traits."""
    with open_engine(name) as engine:
        with engine.write() as tx:
            for statement in TRAITS:
                tx.execute(statement)
        yield engine


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
        bump_generation(tx)
        note_changed_people(tx)

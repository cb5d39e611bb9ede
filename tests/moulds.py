"""Empty stores, made once in a process and copied for whoever needs one: making each anew takes far longer."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

from hub.store import migrate
from hub.warehouse.duckdb import open_duckdb
from hub.warehouse.schema import create_or_upgrade

# Its tables can only be emptied where the triggers that guard the ledger are asleep. Most are empty, and to look is
# quicker than to make them anew.
EMPTY = """
DO $$ DECLARE one regclass; held boolean; BEGIN
  SET session_replication_role = replica;
  FOR one IN SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
    WHERE schemaname = 'public' AND tablename <> 'tortoise_migrations' LOOP
    EXECUTE 'SELECT EXISTS (SELECT FROM ' || one || ')' INTO held;
    IF held THEN EXECUTE 'TRUNCATE ' || one || ' CASCADE'; END IF;
  END LOOP;
  PERFORM setval(format('%I.%I', schemaname, sequencename), start_value, FALSE) FROM pg_sequences
    WHERE schemaname = 'public' AND last_value IS NOT NULL;
END $$
"""

Made = TypeVar("Made")

_emptied: dict[str, list[str]] = {}


def copy_sqlite(target: Path) -> str:
    """The URL of a control plane: a copy of the newest, where there is none yet."""
    if not target.exists():
        shutil.copy(_sqlite(), target)
    return f"sqlite:///{target}"


def copy_duckdb(target: Path) -> None:
    """A copy of the newest data plane, where there is none yet."""
    if not target.exists():
        shutil.copy(_duckdb(), target)


@contextmanager
def lend_postgres(server: str) -> Iterator[str]:
    """The URL of a control plane on PostgreSQL, to be emptied for the next one afterwards."""
    free = _emptied.setdefault(server, [])
    url = free.pop() if free else _made_on(server)
    try:
        yield url
    finally:
        if _empty(server, url):
            free.append(url)


@contextmanager
def fresh_postgres(server: str) -> Iterator[str]:
    """A database of its own without any table, dropped afterwards."""
    url = _create(server)
    try:
        yield url
    finally:
        _drop(server, url)


def copy_postgres(source: str, target: str) -> None:
    """Make the database at `target` anew as a copy of another one on its server, to which nobody is connected."""
    _drop(target_server := urlsplit(target)._replace(path="/postgres").geturl(), target)
    with _connected(target_server) as admin:
        admin.execute(f'CREATE DATABASE "{urlsplit(target).path[1:]}" TEMPLATE "{urlsplit(source).path[1:]}"')
        admin.execute(f'ALTER DATABASE "{urlsplit(target).path[1:]}" SET synchronous_commit = off')


def run_on(url: str, sql: str) -> None:
    with _connected(url) as owner:
        owner.execute(sql)


def throw_away() -> None:
    """Leave nothing behind in this process's name."""
    for server, urls in _emptied.items():
        while urls:
            _drop(server, urls.pop())
    if _folder.cache_info().currsize:
        shutil.rmtree(_folder(), ignore_errors=True)


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="hub-moulds-"))


@cache
def _sqlite() -> Path:
    path = _folder() / "hub.db"
    in_a_loop_of_its_own(migrate(f"sqlite:///{path}"))
    return path


@cache
def _duckdb() -> Path:
    path = _folder() / "hub.duckdb"
    engine = open_duckdb(path, threads=1)
    try:
        create_or_upgrade(engine)
    finally:
        engine.close()
    return path


def _made_on(server: str) -> str:
    url = _create(server)
    in_a_loop_of_its_own(migrate(url))
    return url


def in_a_loop_of_its_own(work: Coroutine[Any, Any, Made]) -> Made:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def _create(server: str) -> str:
    name = f"hub_test_{uuid4().hex[:12]}"
    with _connected(server) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
        admin.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    return urlsplit(server)._replace(path=f"/{name}").geturl()


def _empty(server: str, url: str) -> bool:
    """Whether the database can be lent again; one that cannot be emptied is dropped."""
    import psycopg

    try:
        with _connected(url) as owner:
            owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            owner.execute(EMPTY)
    except psycopg.Error:
        _drop(server, url)
        return False
    return True


def _connected(url: str) -> Any:
    # Imported here, since most tests need no PostgreSQL.
    import psycopg

    return psycopg.connect(url, autocommit=True)


def _drop(server: str, url: str) -> None:
    with _connected(server) as admin:
        admin.execute(f'DROP DATABASE IF EXISTS "{urlsplit(url).path[1:]}" WITH (FORCE)')

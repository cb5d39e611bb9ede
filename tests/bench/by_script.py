"""What an engineer writes in a morning: DuckDB SQL and httpx. No ledger, no consent, no outcome per person."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import duckdb
import httpx

from tests.bench.stopwatch import Stopwatch
from tests.bench.workload import AS_OF, AUDIENCE, RULES, Workload

NOW = datetime.fromisoformat(AS_OF).replace(tzinfo=None)
BATCH = 1000


def run(workload: Workload, sink: str, folder: Path) -> dict[str, float]:
    watch = Stopwatch()
    con = duckdb.connect(str(folder / "script.duckdb"))
    with watch("import"):
        con.execute(f"CREATE TABLE profiles AS FROM read_csv('{workload.profiles}')")
        con.execute(f"CREATE TABLE events AS FROM read_csv('{workload.events}')")
    with watch("segments"):
        for name, (_, sql) in RULES.items():
            con.execute(f"CREATE TABLE segment_{name} AS {sql}", {"now": NOW} if "$now" in sql else {})
    with httpx.Client() as client, watch("first sync"):
        con.execute("CREATE TABLE wanted AS " + WANTED)
        send(client, sink, con.execute("FROM wanted"), "add")
        con.execute("CREATE TABLE sent AS FROM wanted")
    con.execute(f"CREATE TABLE changed AS FROM read_csv('{workload.changed}')")
    con.execute("UPDATE profiles SET plan = c.plan, ltv = c.ltv FROM changed c WHERE profiles.id = c.id")
    with httpx.Client() as client, watch("delta sync"):
        con.execute(f"CREATE OR REPLACE TABLE segment_{AUDIENCE} AS {RULES[AUDIENCE][1]}", {"now": NOW})
        con.execute("CREATE OR REPLACE TABLE wanted AS " + WANTED)
        send(client, sink, con.execute("FROM wanted EXCEPT FROM sent"), "add")
        send(client, sink, con.execute("FROM sent WHERE id NOT IN (SELECT id FROM wanted)"), "remove")
        con.execute("CREATE OR REPLACE TABLE sent AS FROM wanted")
    return watch.seconds


WANTED = f"SELECT id, email, plan, ltv FROM profiles WHERE id IN (SELECT id FROM segment_{AUDIENCE})"


def send(client: httpx.Client, sink: str, people: duckdb.DuckDBPyConnection, operation: str) -> None:
    for rows in chunks(people):
        body = [{"id": i, "fields": {"email": email, "plan": plan, "ltv": ltv}} for i, email, plan, ltv in rows]
        client.post(sink, json={operation: body}).raise_for_status()


def chunks(people: duckdb.DuckDBPyConnection) -> Iterable[list[tuple[str, str, str, float]]]:
    while rows := people.fetchmany(BATCH):
        yield rows

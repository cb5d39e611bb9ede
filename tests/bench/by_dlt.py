"""The same job with dlt: its loader for the import, its merge for the changes, its custom destination for the sync."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import dlt
import httpx
import pyarrow as pa
import pyarrow.csv

from tests.bench.stopwatch import Stopwatch
from tests.bench.workload import AS_OF, AUDIENCE, RULES, Workload

NOW = datetime.fromisoformat(AS_OF).replace(tzinfo=None)
BATCH = 1000
MEMBERS = f"SELECT id, email, plan, ltv FROM profiles WHERE id IN ({RULES[AUDIENCE][1]})"


def run(workload: Workload, sink: str, folder: Path) -> dict[str, float]:
    os.environ.update(RUNTIME__DLTHUB_TELEMETRY="false", RUNTIME__LOG_LEVEL="CRITICAL")
    watch = Stopwatch()
    shop = dlt.pipeline(
        "shop",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.duckdb(str(folder / "dlt.duckdb")),
        dataset_name="shop",
    )
    with watch("import"):
        shop.run([profiles(workload.profiles), rows_of(workload.events, "events")])
    with shop.sql_client() as sql:
        with watch("segments"):
            for name, (_, query) in RULES.items():
                sql.execute_sql(f"CREATE TABLE segment_{name} AS {with_clock(query)}")
        with watch("first sync"):
            sql.execute_sql(f"CREATE TABLE sent AS {with_clock(MEMBERS)}")
            send(folder, sink, "add", stream(sql, "SELECT * FROM sent"))
    shop.run(profiles(workload.changed))
    with shop.sql_client() as sql, watch("delta sync"):
        sql.execute_sql(f"CREATE TABLE wanted AS {with_clock(MEMBERS)}")
        send(folder, sink, "add", stream(sql, "SELECT * FROM wanted EXCEPT SELECT * FROM sent"))
        send(folder, sink, "remove", stream(sql, "SELECT * FROM sent WHERE id NOT IN (SELECT id FROM wanted)"))
        sql.execute_sql("DROP TABLE sent")
        sql.execute_sql("ALTER TABLE wanted RENAME TO sent")
    return watch.seconds


def profiles(path: Path) -> Any:
    return rows_of(path, "profiles", write_disposition="merge", primary_key="id")


def rows_of(path: Path, name: str, **hints: Any) -> Any:
    def read() -> Iterator[pa.Table]:
        with pyarrow.csv.open_csv(path, pyarrow.csv.ReadOptions(block_size=16 << 20)) as reader:
            for batch in reader:
                yield pa.Table.from_batches([batch])

    return dlt.resource(read, name=name, **hints)


def with_clock(query: str) -> str:
    return query.replace("$now", f"TIMESTAMP '{NOW.isoformat(' ')}'")


def stream(sql: Any, query: str) -> Iterator[pa.Table]:
    with sql.execute_query(query) as cursor:
        yield from cursor.iter_arrow(chunk_size=50_000)


def send(folder: Path, sink: str, operation: str, people: Iterator[pa.Table]) -> None:
    with httpx.Client() as client:

        @dlt.destination(batch_size=BATCH, name="sink", skip_dlt_columns_and_tables=True)
        def post(items: pa.Table, table: Any) -> None:
            body = [{"id": i["id"], "fields": {k: i[k] for k in ("email", "plan", "ltv")}} for i in items.to_pylist()]
            client.post(sink, json={operation: body}).raise_for_status()

        activation = dlt.pipeline(f"to_sink_{operation}", pipelines_dir=str(folder / "pipelines"), destination=post())
        activation.run(people, table_name="people")

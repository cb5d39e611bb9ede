"""From a checked rule to one SQL query that selects the `pid`s for which it is true. Pure: no connection, no clock.

The query reads `profiles(pid, traits…)`, `events(pid, ts, name, properties…)` and the one-row table `clock(as_of)`,
which the caller puts around it
(`WITH clock AS (SELECT $as_of AS as_of) SELECT … FROM (…)`), so one text serves every instant. For DuckDB it names
`$as_of` itself.
"""

from __future__ import annotations

import atexit
import gc
from collections.abc import Callable
from functools import cache, lru_cache

from hub.core.rules.check import Checked
from hub.core.rules.tree import Condition

DIALECTS = ("duckdb", "postgres", "bigquery", "snowflake", "clickhouse", "trino", "databricks")
# Spark SQL is what Databricks speaks, and Redshift grew out of PostgreSQL; Ibis wants a live session for them.
STAND_INS = {"spark": "databricks", "redshift": "postgres"}


@lru_cache(maxsize=1_024)
def compile_rule(rule: Checked, dialect: str) -> str:
    """The SQL in that dialect. Compiling takes milliseconds, so the text is kept for as long as the rule is the same.

    Raises ValueError for a dialect that is not one of `DIALECTS` or `STAND_INS`.
    """
    spoken = STAND_INS.get(dialect, dialect)
    if spoken not in DIALECTS:
        raise ValueError(f"no dialect {dialect!r}: there are {', '.join((*DIALECTS, *STAND_INS))}")
    return _compiler()(rule.rule, spoken)


@cache
def _compiler() -> Callable[[Condition, str], str]:
    # Ibis takes a second to import, so only those who compile pay for it.
    from hub.core.rules.relations import to_sql

    # It stays for good. Looking through it at each collection of garbage is a quarter of the time of compiling.
    gc.freeze()
    atexit.register(gc.unfreeze)
    return to_sql

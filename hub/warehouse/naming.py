"""By which keys a destination knows people: their own id, the newest identifier of a kind, or every identifier of some.

Where it is every identifier, each is a key of its own, such as `email:ann@example.com`, spelled as the vendor wants it:
added, updated, removed and remembered by itself. What is said of people is then said of their identifiers.
"""

from __future__ import annotations

from typing import Any

from hub.core.planning import EXTERNAL_ID, PlanRequest
from hub.core.spellings import spelled_sql
from hub.warehouse.engine import Reader


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def is_own(request: PlanRequest) -> bool:
    """Whether the vendor knows people by our own id, of which every profile has exactly one."""
    return not request.identifiers and request.key in {EXTERNAL_ID, "id"}


def key_column(reader: Reader, request: PlanRequest) -> str:
    """The key of a member: of a profile `p`, or of their identifiers `n` (see `members_names`)."""
    if is_own(request):
        return "p.external_id"
    if request.identifiers:
        return "n.key"
    found = reader.rows("SELECT column_name FROM traits WHERE name = $name", {"name": request.key})
    return f"p.{quoted(found[0][0])}" if found else "CAST(NULL AS VARCHAR)"


def names(reader: Reader, request: PlanRequest) -> str:
    """Everybody's `pid` and `key`, in SQL, older identifiers too: whoever holds a key has a say in it. Takes the
    parameters of `names_params`."""
    if not request.identifiers:
        return "SELECT pid, value AS key FROM identifiers WHERE kind = $kind AND value IS NOT NULL"
    return " UNION ALL ".join(_of_kind(kind, spelling, reader.dialect) for kind, spelling in request.identifiers)


def names_params(request: PlanRequest) -> dict[str, Any]:
    return {} if request.identifiers or is_own(request) else {"kind": request.key}


def members_names(reader: Reader, request: PlanRequest) -> str:
    """The join that gives members (`m`) a row for each of their keys, or one without a key."""
    if not request.identifiers:
        return ""
    return f"LEFT JOIN (SELECT DISTINCT pid, key FROM ({names(reader, request)}) n0) n ON n.pid = m.pid"


def _of_kind(kind: str, spelling: str, dialect: str) -> str:
    """`kind` is one of the hub's own words, and never a stranger's."""
    value = spelled_sql(spelling, "value", dialect) if spelling else "value"
    return f"SELECT pid, concat('{kind}:', {value}) AS key FROM identifiers WHERE kind = '{kind}' AND value IS NOT NULL"

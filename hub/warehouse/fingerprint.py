"""What somebody's payload is made of, and the fingerprint by which one that has changed is told from the one before."""

from __future__ import annotations

from collections.abc import Iterable

from hub.core.planning import PlanRequest
from hub.core.spellings import versioned
from hub.warehouse.naming import quoted


def mapping(request: PlanRequest) -> str:
    """Which field comes from which trait, how it is spelled and what the signals speak of, as text: where any of it
    changes, every fingerprint does."""
    spelled = [(field, versioned(spelling)) for field, spelling in request.spelled]
    parts = [*sorted(request.fields), *sorted(spelled), *sorted(request.signals)]
    return ";".join(f"{len(field)}:{field}={said}" for field, said in parts)


def fingerprint(columns: Iterable[str]) -> str:
    """MD5 over the values of these columns and `$mapping`, in the order of `traits_of`; control characters keep
    neighbours apart and missing from empty."""
    parts = "".join(f", chr(31), coalesce(CAST({column} AS VARCHAR), chr(30))" for column in columns)
    return f"md5(concat(CAST($mapping AS VARCHAR){parts}))"


def signals_of(request: PlanRequest, pid: str) -> list[str]:
    """Whether the person has agreed to the purpose of each signal as of now; takes the parameters of `signal_params`
    and of `consent_params`."""
    return [_AGREED.format(pid=pid, name=f"signal{n}") for n in range(len(request.signals))]


def signal_params(request: PlanRequest) -> dict[str, str]:
    return {f"signal{n}": purpose for n, (_, purpose) in enumerate(sorted(request.signals))}


def traits_of(request: PlanRequest) -> list[str]:
    """The columns of a profile that the payload is made of, quoted, one for each field in the order of their names."""
    return [quoted(column) for _, column in sorted(request.fields)]


_AGREED = (
    "EXISTS (SELECT 1 FROM consent s WHERE s.pid = {pid} AND s.purpose = ${name} AND s.state = 'GRANTED' "
    "AND (s.expires_at IS NULL OR s.expires_at > $now))"
)

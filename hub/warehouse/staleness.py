"""Whether a plan that has waited is still the plan that would be made."""

from __future__ import annotations

from hub.core.planning import PlanRequest
from hub.warehouse.decision import decision
from hub.warehouse.engine import Reader


def differences(reader: Reader, request: PlanRequest) -> int:
    """About how many people the plan that the run has written down and the one it would make now say something else.
    Those who may no longer be sent do not count: they are removed by a run of their own meanwhile."""
    sql, params = decision(reader, request)
    rows = reader.rows(_DIFFERENCES.format(decision=sql), {**params, "run": request.run})
    return int(rows[0][0])


_DIFFERENCES = """
WITH today AS MATERIALIZED (SELECT pid, key, op FROM ({decision}) d
  WHERE op NOT IN ('withheld', 'rejected') AND coalesce(reason, '') <> 'withdrawn'),
then_planned AS MATERIALIZED (SELECT pid, key, op FROM plan
  WHERE run = $run AND op NOT IN ('withheld', 'rejected') AND coalesce(reason, '') <> 'withdrawn')
SELECT count(DISTINCT pid) FROM (
  (SELECT * FROM today EXCEPT SELECT * FROM then_planned)
  UNION ALL
  (SELECT * FROM then_planned EXCEPT SELECT * FROM today)) c
"""

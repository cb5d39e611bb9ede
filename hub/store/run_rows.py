"""Runs as they are stored: the columns that go together, and a row as a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from hub.core.records import Run, RunCause, RunCounts, RunStatus, WithheldReason
from hub.core.scopes import Scope
from hub.store import models, problems

# A run that nobody works on any more.
NOWHERE: Mapping[str, Any] = {"place": None, "lease_owner": None, "lease_expires_at": None}


def ending(status: RunStatus, now: datetime) -> dict[str, Any]:
    return {"status": status.value, "finished_at": now, **NOWHERE}


def numbers(counts: RunCounts, withheld: Mapping[WithheldReason, int]) -> dict[str, Any]:
    return {"counts": asdict(counts), "withheld": {reason.value: count for reason, count in withheld.items()}}


def run_of(row: models.Run) -> Run:
    return Run(
        id=row.id,
        sync_id=row.sync_id,
        cause=RunCause(row.cause),
        status=RunStatus(row.status),
        counts=RunCounts(**row.counts),
        withheld={WithheldReason(reason): count for reason, count in row.withheld.items()},
        as_of=row.as_of,
        watermark=row.watermark,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        failure=problems.from_json(row.failure),
        cancel_requested=row.cancel_requested,
        scope=Scope(row.scope),
        audience=row.audience,
        destination_id=row.destination_id,
    )

"""The tables of the control plane. They stay inside the store, which hands out `hub.core.records`. Notes on them are
comments, since Tortoise would write a docstring into the schema. It adds a column `sync_id` for a relation `sync`; that
is declared, for the type checker, where the store reads it.

Change one, then write the migration with `python -m hub.store.migrations`; a test compares the two.
"""

from __future__ import annotations

from hub.store.models.consent import ConsentEntry, Outbox
from hub.store.models.courses import Erasure, ErasurePlace, ImportOutcome, Run, RunMoment, RunRequest
from hub.store.models.definitions import (
    Destination,
    KeptToken,
    Purpose,
    Segment,
    SegmentEvaluation,
    SegmentVersion,
    Sync,
)
from hub.store.models.house import AdminToken, AlertChannel, AlertNotice, SyncHealth, WriteKey

__all__ = [
    "AdminToken",
    "AlertChannel",
    "AlertNotice",
    "ConsentEntry",
    "Destination",
    "Erasure",
    "ErasurePlace",
    "ImportOutcome",
    "KeptToken",
    "Outbox",
    "Purpose",
    "Run",
    "RunMoment",
    "RunRequest",
    "Segment",
    "SegmentEvaluation",
    "SegmentVersion",
    "Sync",
    "SyncHealth",
    "WriteKey",
]

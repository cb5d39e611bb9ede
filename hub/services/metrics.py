"""What is counted for Prometheus. Labels name kinds, statuses and destinations, never a person or an address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import Counter, Gauge, Histogram

RUNS = Counter("hub_runs_total", "Runs that ended, by status and cause.", ["status", "cause"])
PEOPLE = Counter(
    "hub_people_total", "People in committed outcomes, by what was done and what came of it.", ["op", "outcome"]
)
ATTEMPTS = Counter("hub_attempts_total", "Requests to destinations, by connector and answer.", ["connector", "answer"])
WRITABLE = Gauge("hub_store_writable", "Whether the store took its newest trial write.", ["store"])
ACTIVE_RUNS = Gauge("hub_active_runs", "Runs under way in this process.")
WITHDRAWAL = Histogram(
    "hub_withdrawal_to_remove_seconds",
    "From the recording of a withdrawal to the acknowledged end of the run that removes: the longest of each run. "
    "Where the identifier was linked to its person only later, from then on; lapsed grants are not counted.",
    buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600),
)
PHASE = Histogram(
    "hub_run_phase_seconds",
    "How long the phases of a run take.",
    ["phase"],
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300, 3600),
)
TURNS = Counter("hub_sync_turns_total", "Syncs that turned bad, or well again.", ["state"])
NOTICES = Counter(
    "hub_notices_total", "Tries to tell a notice, by kind of channel and what came of it.", ["kind", "answer"]
)

FEEDBACK = Counter(
    "hub_feedback_total",
    "What vendors told us: people in notices that were accepted or unusable, and requests that were refused.",
    ["destination", "outcome"],
)


@contextmanager
def timed(phase: str) -> Iterator[None]:
    """Count the time spent inside under the phase `audit`, `plan`, `deliver` or `settle`."""
    began = perf_counter()
    try:
        yield
    finally:
        PHASE.labels(phase).observe(perf_counter() - began)

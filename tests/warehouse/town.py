"""A few people with addresses, and runs about them: what the tests of planning and settling begin with."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hub.core.delivery.messages import Verdict
from hub.core.delivery.rows import Stretch
from hub.core.planning import Fate, PlanRequest, Reading
from hub.core.records import Lens, SyncMode
from hub.core.scopes import Scope
from hub.warehouse.outcomes import append_outcomes
from hub.warehouse.payload import read_people
from hub.warehouse.plan import make_plan
from hub.warehouse.settle import settle
from tests.warehouse.planes import write_world
from tests.warehouse.planning_model import Profile, World

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIELDS = (("MAIL", "t_email"), ("LTV", "t_ltv"))
ASKED = PlanRequest(1, 1, 1, Lens.LIVE, ("ads",), SyncMode.MIRROR, "email", FIELDS, Scope.ALL, NOW, audience="vip")


def town(engine: Any, *emails: str | None, members: set[int] | None = None, denied: set[int] = frozenset()) -> World:  # type: ignore[assignment]
    """People 1, 2, … with these addresses; all are members who agreed, but for the exceptions."""
    pids = range(1, len(emails) + 1)
    people = {pid: Profile(email, 10.0 * pid) for pid, email in zip(pids, emails, strict=True)}
    consents: dict[Any, Any] = {(pid, "ads"): False if pid in denied else None for pid in pids}
    world = World(people, set(pids) if members is None else members, consents)
    write_world(engine, world, NOW)
    return world


def deliver(engine: Any, request: PlanRequest, fate: Fate = Fate.ACCEPTED, **fates: Fate) -> Reading:
    """Plan, log the same fate for everyone (but for the keys named), and settle."""
    make_plan(engine, request)
    reading = read_people(engine, request, 0, 1000)
    log(engine, request, reading, fate, **fates)
    settle(engine, request, now=request.now, in_flight_s=900)
    return reading


def log(engine: Any, request: PlanRequest, reading: Reading, fate: Fate, **fates: Fate) -> None:
    rows = Stretch(reading, 0, len(reading))
    together = fate is Fate.ACCEPTED and not fates
    verdicts = [Verdict((row,), 1, fates.get(row.key[0], fate), "why") for row in rows]
    verdicts = [Verdict(rows, 1, fate)] if together else verdicts
    append_outcomes(engine, request.run, verdicts, request.now)


def states(engine: Any) -> dict[str, str]:
    return dict(engine.rows("SELECT key, state FROM delivered WHERE sync = 1"))


def after(request: PlanRequest, hours: float = 0, **changes: Any) -> PlanRequest:
    return replace(request, run=request.run + 1, now=request.now + hours * HOUR, **changes)

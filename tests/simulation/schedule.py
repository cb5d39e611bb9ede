"""One seed, one schedule: whole syncs of several runs under faults, and then a long quiet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from random import Random

from hub.core.delivery.messages import Limits
from hub.core.planning import Scope
from hub.core.records import SyncMode
from tests.simulation.job_vendor import KINDS
from tests.simulation.rim import CALM_ROUNDS, Hub
from tests.simulation.town import Timeline, Town
from tests.simulation.vendors import BAD_LTV, FAULTS, Vendor

# In how much of it things happen; some schedules are all haste, in others the deadlines of unanswered requests pass.
LENGTHS_S = (60.0, 300.0, 2400.0)
FURTHEST_OFF_S = 80.0
LTVS = (None, 1.5, 2.5, BAD_LTV)
EMAILS = tuple(f"{name}@example.com" for name in "abcdef")


def simulate(seed: int, *, tell: bool = False) -> Hub:
    """The world when all is over. `tell` keeps the story."""
    random = Random(seed)
    timeline = Timeline()
    hub = _hub(random, timeline)
    hub.story = [] if tell else None
    length = random.choice(LENGTHS_S)
    for _ in range(random.randint(3, 16)):
        timeline.later(random.uniform(0, length), partial(_happen, hub, random))
    hub.ask(Scope.ALL)
    timeline.run(until=length)
    _come_to_rest(hub, heals=random.random() < 0.5)
    return hub


def _hub(random: Random, timeline: Timeline) -> Hub:
    town = Town(timeline.clock, random.choice(["external_id", "email"]))
    count = random.randint(2, 9)
    for pid in range(1, count + 1):
        town.settle_in(pid, random.choice([*EMAILS, f"own{pid}@example.com"]), random.choice(LTVS[:3]))
        if random.random() < 0.8:
            town.say(pid, None)
        if random.random() < 0.8:
            town.flap(pid)
    limits = Limits(random.randint(1, 4), random.randint(1, 3), random.randint(2, 8), chunk=random.randint(4, 8))
    mode = SyncMode.REPLACE if random.random() < 0.1 else SyncMode.MIRROR
    vendor = _vendor(random, town)
    limits = replace(limits, jobs=2, apart=vendor.follows)
    return Hub(random, timeline, town, vendor, limits, random.randint(2, 5), mode)


def _vendor(random: Random, town: Town) -> Vendor:
    kind = random.choice(KINDS)
    troubles = random.sample(FAULTS, random.randint(0, 4))
    moods = {"ok": random.choice([2, 6, 12]), **dict.fromkeys(troubles, 1)}
    poison = {link.key for link in town.links if random.random() < 0.07}
    return kind(random, moods, frozenset(poison))


def _happen(hub: Hub, random: Random) -> None:
    what = random.choices(list(HAPPENINGS), list(HAPPENINGS.values()))[0]
    hub.note(what.__name__.strip("_"))
    what(hub, random)


def _somebody(hub: Hub, random: Random) -> int:
    return random.choice(list(hub.town.people.profiles))


def _withdraw(hub: Hub, random: Random) -> None:
    hub.town.say(_somebody(hub, random), False)
    hub.changed()


def _consent(hub: Hub, random: Random) -> None:
    until = hub.clock.wall() + timedelta(seconds=random.uniform(1, 900)) if random.random() < 0.3 else None
    _allow(hub, _somebody(hub, random), until)
    if until:
        # The worker looks when a grant lapses by its own clock, and some while later for good measure.
        for seconds in ((until - hub.clock.wall()).total_seconds(), 1200.0):
            hub.timeline.later(seconds, hub.changed)


def _flip(hub: Hub, random: Random) -> None:
    """Somebody changes their mind, and changes it back while the first word is still being acted upon."""
    pid = _somebody(hub, random)
    hub.town.say(pid, False)
    hub.changed()
    hub.timeline.later(random.uniform(0, 20), partial(_allow, hub, pid, None))


def _allow(hub: Hub, pid: int, until: datetime | None) -> None:
    hub.town.say(pid, until)
    hub.changed()


def _flap(hub: Hub, random: Random) -> None:
    for _ in range(random.randint(1, 3)):
        hub.town.flap(_somebody(hub, random))
    hub.changed()


def _move(hub: Hub, random: Random) -> None:
    hub.town.move(_somebody(hub, random), random.choice([*EMAILS, None]))
    hub.changed()


def _earn(hub: Hub, random: Random) -> None:
    hub.town.earn(_somebody(hub, random), random.choice(LTVS))
    hub.changed()


def _crash(hub: Hub, random: Random) -> None:
    if hub.up:
        hub.die()


def _drain(hub: Hub, random: Random) -> None:
    if hub.up:
        hub.drain()


def _cancel(hub: Hub, random: Random) -> None:
    if hub.up:
        hub.cancel()


def _run(hub: Hub, random: Random) -> None:
    if hub.up:
        hub.ask(random.choice([Scope.ALL, Scope.ALL, Scope.RETRY_REJECTED]))


def _clock_jump(hub: Hub, random: Random) -> None:
    hub.clock.jump(random.uniform(-FURTHEST_OFF_S, FURTHEST_OFF_S))


HAPPENINGS: dict[Callable[[Hub, Random], None], int] = {
    _withdraw: 4, _consent: 4, _flip: 3, _flap: 6, _move: 3, _earn: 6,
    _crash: 4, _drain: 1, _cancel: 1, _run: 4, _clock_jump: 2,
}  # fmt: skip


def _come_to_rest(hub: Hub, *, heals: bool) -> None:
    """The vendor answers, nobody changes, and every deadline passes."""
    hub.note("quiet")
    hub.vendor.calm, hub.vendor.healed = True, heals
    hub.rounds_left = CALM_ROUNDS
    hub.timeline.run()
    for scope in (Scope.WITHDRAWN, Scope.RETRY_REJECTED, Scope.ALL):
        hub.ask(scope)
        hub.timeline.run()

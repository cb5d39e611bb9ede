"""A process that has lost a run writes nothing more for it to a data plane that others share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hub.core.leases import LeaseLost
from hub.core.planning import Fate
from hub.warehouse.fence import Fenced
from hub.warehouse.outcomes import append_outcomes, progress
from hub.warehouse.payload import read_people
from hub.warehouse.plan import make_plan
from hub.warehouse.settle import settle
from tests.warehouse.planes import open_plane
from tests.warehouse.town import ASKED, NOW, log, states, town

pytestmark = pytest.mark.postgres


@pytest.fixture
def engine() -> Iterator[Any]:
    with open_plane("postgres") as plane:
        yield plane


def test_whoever_comes_with_an_older_fence_is_turned_away_and_nothing_of_it_stays(engine: Any) -> None:
    town(engine, "a@x", "b@x")
    sleeper, heir = Fenced(engine, ASKED.run, 1), Fenced(engine, ASKED.run, 2)
    make_plan(sleeper, ASKED)
    make_plan(heir, ASKED)
    reading = read_people(engine, ASKED, 0, 10)
    for write in (
        lambda: log(sleeper, ASKED, reading, Fate.ACCEPTED),
        lambda: settle(sleeper, ASKED, now=NOW, in_flight_s=900),
        lambda: make_plan(sleeper, ASKED),
    ):
        with pytest.raises(LeaseLost):
            write()
    assert (progress(engine, ASKED.run).added, states(engine)) == (0, {})
    log(heir, ASKED, reading, Fate.ACCEPTED)
    assert settle(heir, ASKED, now=NOW, in_flight_s=900).added == 2


def test_one_run_does_not_fence_another(engine: Any) -> None:
    town(engine, "a@x")
    Fenced(engine, 7, 9).rows("SELECT 1")
    with Fenced(engine, 7, 9).write():
        pass
    make_plan(Fenced(engine, ASKED.run, 1), ASKED)
    append_outcomes(Fenced(engine, ASKED.run, 1), ASKED.run, [], NOW)
    assert engine.rows("SELECT run, fence FROM fences ORDER BY run") == [(ASKED.run, 1), (7, 9)]

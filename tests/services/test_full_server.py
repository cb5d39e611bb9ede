"""A PostgreSQL whose own disk is full: what is not stored is refused, nobody is lost, and with room all goes on.

The cluster is the tests' own, on a disk of its own, and both planes are there.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hub.core.identifiers import EXTERNAL_ID, subject
from hub.core.records import Run
from hub.services import runs
from tests.postgres_server import Cluster, find_binaries, throwaway_cluster
from tests.services.full import both_are_degraded, refused_for_want_of_room
from tests.services.shop import until, working
from tests.small_disk import filled, small_disk

if os.environ.get("HUB_TEST_DATABASE") != "postgres":
    pytest.skip("belongs to the pass with PostgreSQL as the control plane", allow_module_level=True)

from tests.services.test_database_away import BATCH, PEOPLE, WITHDRAWS, Place, shop_on

pytestmark = pytest.mark.postgres

MEGABYTES = 256


@pytest.fixture
def disk() -> Iterator[Path]:
    # Not in pytest's own folder, which the server's user may not enter.
    folder = Path(tempfile.mkdtemp(prefix="hub-disk-"))
    folder.chmod(0o755)
    try:
        with small_disk(folder, MEGABYTES) as found:
            yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def cluster(disk: Path) -> Iterator[Cluster]:
    if not (binaries := find_binaries()):
        pytest.skip("no PostgreSQL binaries are found")
    with throwaway_cluster(binaries, disk) as found:
        yield found


async def test_a_server_without_room_has_nothing_acknowledged_that_is_not_stored_and_with_room_all_goes_on(
    cluster: Cluster, disk: Path, tmp_path: Path
) -> None:
    async with shop_on(cluster, tmp_path) as place, working(place.shop.hub):
        shop = place.shop
        run = await runs.start(shop.hub, shop.sync.key)
        await until(lambda: len(shop.account.calls) > 10)
        with filled(disk):
            file = await take_in(place)
            assert refused_for_want_of_room(file), file.text
            withdrawn = {f"z{n}": await place.ask(WITHDRAWS, id=f"z{n}") for n in range(80)}
            assert all(answer.status_code == 200 or refused_for_want_of_room(answer) for answer in withdrawn.values())
            assert any(answer.status_code == 503 for answer in withdrawn.values())
            await until(lambda: both_are_degraded(place.web))
            await begins_nothing(place, run)
        ended = await shop.outcome_of(run)
        assert (await place.web.get("/readyz")).json()["status"] == "ready"
        assert (await take_in(place)).json()["accepted"] == 5_000
        assert (ended.status, ended.counts.added, ended.counts.balanced) == ("SUCCEEDED", PEOPLE, True)
        sent = Counter(key for call in shop.account.calls for key in call["add"])
        assert len(sent) == PEOPLE
        assert sum(sent.values()) - len(sent) <= 2 * 8 * BATCH
        kept = {entry.subject for entry in await shop.hub.store.ledger.whole(0)}
        taken = [id for id, answer in withdrawn.items() if answer.status_code == 200]
        assert {subject(shop.hub.pepper, EXTERNAL_ID, id) for id in taken} <= kept


async def take_in(place: Place) -> httpx.Response:
    text = "id,note\n" + "".join(f"q{n},{'x' * 400}\n" for n in range(5_000))
    return await place.web.post("/import/profiles", content=text, headers={"Content-Type": "text/csv"})


async def begins_nothing(place: Place, run: Run) -> None:
    """What was under way when it was seen that there is no room has stopped by now."""
    await asyncio.sleep(1)
    calls = len(place.shop.account.calls)
    await asyncio.sleep(3)
    found = await place.shop.hub.store.runs.find(run.id)
    assert found and not found.status.ended
    assert len(place.shop.account.calls) == calls

"""Whoever withdraws while a vendor has yet to take them in: nobody is found whom it does not hold, so the first removal
may come to nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hub.core.records import ConsentAction
from hub.services import runs
from tests.connectors import test_activecampaign, test_klaviyo, test_sendgrid, test_sfmc
from tests.connectors.story import Told, told
from tests.services.shop import until

KINDS: dict[str, Told] = {
    "activecampaign": test_activecampaign.TestActiveCampaign(),
    "klaviyo": test_klaviyo.TestKlaviyo(),
    "sendgrid": test_sendgrid.TestSendGrid(),
    "sfmc": test_sfmc.TestMarketingCloud(),
}


@pytest.mark.parametrize("of", KINDS.values(), ids=KINDS)
async def test_who_withdraws_while_their_job_is_open_is_not_in_the_audience_in_the_end(
    of: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with told(of, tmp_path) as story:
        vendor: Any = story.vendor
        await story.admit("ann", "bob", "cem")
        vendor.subscriptions.clear()
        getattr(vendor, "profiles", {}).clear()
        monkeypatch.setattr(vendor, "know", lambda *_: None)
        vendor.dawdles = True
        run = await runs.start(story.hub, story.sync.key)
        await until(lambda: bool(vendor.jobs))
        await story.decide("ann", ConsentAction.WITHDRAW)
        await asyncio.sleep(0.5)
        vendor.dawdles = False

        async def without_ann() -> bool:
            return await story.members() == story.keys("bob", "cem")

        await until(without_ann)
        story.clock.pass_by(hours=2)
        await story.ended(run)
        await story.send()
        assert await without_ann()

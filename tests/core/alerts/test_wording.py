"""A notice in words: which sync, what is wrong, since when, what to do; and nobody in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hub.core.alerts.health import Cause, CauseKind, Health, HealthState
from hub.core.alerts.wording import TO_DO, NoticeKind, as_json, cause_text, notice_of, text, title
from hub.errors import ErrorCode

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
WELL = Health(HealthState.WELL, NOON)
CAUSES = (
    Cause(CauseKind.RUNS_FAILED, NOON, 3, ErrorCode.DESTINATION_AUTH),
    Cause(CauseKind.REJECTED, NOON + timedelta(minutes=5), 0.125),
)
BAD = Health(HealthState.BAD, NOON + timedelta(minutes=6), CAUSES)


def test_a_notice_says_which_sync_what_since_when_and_what_to_do() -> None:
    told = text(notice_of("ntc_1", "vip-to-shop", "shop", WELL, BAD))
    assert told.splitlines() == [
        "The sync “vip-to-shop” needs attention.",
        "It goes to the destination “shop”.",
        "- Since 2026-05-01 12:00 UTC: the last 3 runs failed: the destination does not accept our credentials. "
        + TO_DO[CauseKind.RUNS_FAILED],
        "- Since 2026-05-01 12:05 UTC: the destination refused 12.5 % of the people in the last run. "
        + TO_DO[CauseKind.REJECTED],
        "Further trouble of this sync is shown in the hub and not told again. You hear once it is well.",
    ]


def test_a_recovery_says_since_when_it_had_been_bad() -> None:
    notice = notice_of("ntc_2", "vip-to-shop", "shop", BAD, replace(WELL, since=NOON + timedelta(hours=1)))
    assert (notice.kind, notice.bad_since) == (NoticeKind.RECOVERED, BAD.since)
    assert title(notice) == "The sync “vip-to-shop” is well again"
    assert "since 2026-05-01 13:00 UTC. It had been bad since 2026-05-01 12:06 UTC." in text(notice)


def test_a_webhook_carries_the_causes_one_by_one() -> None:
    told = as_json(notice_of("ntc_1", "vip-to-shop", "shop", WELL, BAD))
    assert {name: told[name] for name in ("id", "type", "sync", "destination")} == {
        "id": "ntc_1",
        "type": "sync.turned_bad",
        "sync": "vip-to-shop",
        "destination": "shop",
    }
    assert [(cause["kind"], cause["since"]) for cause in told["causes"]] == [
        ("RUNS_FAILED", "2026-05-01T12:00:00+00:00"),
        ("REJECTED", "2026-05-01T12:05:00+00:00"),
    ]


@pytest.mark.parametrize("kind", CauseKind)
def test_every_cause_has_words_of_its_own_and_something_to_do(kind: CauseKind) -> None:
    said = {cause_text(Cause(other, NOON, 1)) for other in CauseKind}
    assert len(said) == len(CauseKind) and TO_DO[kind].endswith(".")
    assert not cause_text(Cause(kind, NOON, 1)).endswith(".")

"""What a decision must look like to be recorded (acceptance rows B09 and B10)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.consent_form import SKEW, UNNAMED_SOURCE, ConsentInput, Statement, validate
from hub.core.records import ConsentAction
from hub.errors import ErrorCode, HubError

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
PURPOSES = ("newsletter", "ads")
GRANT = ConsentInput("newsletter", ConsentAction.GRANT, "form", external_id="p1", effective_at=NOW)
WITHDRAWAL = replace(GRANT, action=ConsentAction.WITHDRAW)

whens = st.none() | st.text(max_size=8) | st.datetimes() | st.datetimes(timezones=st.just(UTC)) | st.just("2026-01-01")


@pytest.mark.parametrize(
    ("odd", "path"),
    [
        ({"purpose": "newsleter"}, "purpose"),
        ({"source": " "}, "source"),
        ({"effective_at": None}, "effectiveAt"),
        ({"effective_at": ""}, "effectiveAt"),
        ({"effective_at": datetime(2026, 1, 1)}, "effectiveAt"),
        ({"effective_at": "2026-01-01"}, "effectiveAt"),
        ({"effective_at": "yesterday"}, "effectiveAt"),
        ({"effective_at": "0001-01-01T00:00:00+14:00"}, "effectiveAt"),
        ({"effective_at": NOW + SKEW + timedelta(seconds=1)}, "effectiveAt"),
        ({"expires_at": "soon"}, "expiresAt"),
        ({"expires_at": datetime(2027, 1, 1)}, "expiresAt"),
        ({"expires_at": NOW}, "expiresAt"),
    ],
)
def test_a_grant_out_of_order_is_refused_with_the_place(odd, path):
    with pytest.raises(HubError) as refusal:
        validate(replace(GRANT, **odd), PURPOSES, NOW)
    [problem] = refusal.value.problems
    assert (problem.code, problem.path) == (ErrorCode.CONSENT_INVALID, ("input", path))


def test_every_fault_of_a_grant_is_named_at_once():
    with pytest.raises(HubError) as refusal:
        validate(replace(GRANT, purpose="x", source="", effective_at=None), PURPOSES, NOW)
    assert [problem.path[-1] for problem in refusal.value.problems] == ["purpose", "source", "effectiveAt"]


def test_an_unknown_purpose_suggests_the_one_that_was_meant():
    with pytest.raises(HubError) as refusal:
        validate(replace(GRANT, purpose="newsleter"), PURPOSES, NOW)
    assert refusal.value.problems[0].suggestion == "newsletter"


def test_a_grant_in_order_is_kept_in_utc():
    local = NOW.astimezone(timezone(timedelta(hours=2)))
    told = validate(replace(GRANT, effective_at=local.isoformat(), expires_at=NOW + timedelta(days=1)), PURPOSES, NOW)
    assert (told.effective_at, told.effective_at.tzinfo) == (NOW, UTC)
    assert told.expires_at == NOW + timedelta(days=1)


def test_a_clock_that_is_a_little_fast_is_forgiven():
    assert validate(replace(GRANT, effective_at=NOW + SKEW), PURPOSES, NOW).effective_at == NOW + SKEW


@given(st.sampled_from(["DENY", "WITHDRAW"]), st.text(max_size=4), st.text(max_size=4), whens, whens)
def test_a_denial_is_never_refused_on_form(action, purpose, source, effective_at, expires_at):
    odd = ConsentInput(purpose, ConsentAction(action), source, "p1", None, None, ["odd"], effective_at, expires_at)
    told = validate(odd, PURPOSES, NOW)
    assert told.action == action
    assert told.effective_at is None or told.effective_at <= NOW + SKEW
    assert told.expires_at is None
    assert told.source


@pytest.mark.parametrize("when", [None, "soon", "2026-01-01", datetime(2026, 1, 1), NOW + timedelta(days=30)])
def test_a_withdrawal_whose_time_cannot_be_used_counts_from_its_recording(when):
    assert validate(replace(WITHDRAWAL, effective_at=when), PURPOSES, NOW).effective_at is None


def test_a_withdrawal_for_an_unknown_purpose_keeps_it():
    assert validate(replace(WITHDRAWAL, purpose="parcel_sms"), PURPOSES, NOW).purpose == "parcel_sms"


def test_what_no_database_can_hold_is_left_out_of_the_text():
    told = validate(replace(WITHDRAWAL, source="fo\x00rm\ud800", purpose=" ads\x00"), PURPOSES, NOW)
    assert (told.source, told.purpose) == ("form?", "ads")


def test_evidence_is_kept_as_json_that_everything_can_hold():
    odd = {"t\x00": ["\ud800", 2**70, 1.5, None, True, {"a": (NOW,)}]}
    told = validate(replace(WITHDRAWAL, evidence=odd), PURPOSES, NOW)
    assert told.evidence == {"t": ["?", str(2**70), 1.5, None, True, {"a": [str(NOW)]}]}
    assert validate(replace(WITHDRAWAL, evidence="a call"), PURPOSES, NOW).evidence == {"evidence": "a call"}


def test_a_grant_in_order_is_kept_whole():
    odd = replace(GRANT, purpose=" ads\x00", source=" form\x00", evidence={"page": 7})
    assert validate(odd, PURPOSES, NOW) == Statement("ads", ConsentAction.GRANT, "form", {"page": 7}, NOW, None)


def test_a_time_is_kept_in_utc_whatever_zone_the_machine_is_in():
    assert validate(GRANT, PURPOSES, NOW).effective_at.tzinfo is UTC


def test_a_withdrawal_in_order_keeps_its_time_and_evidence():
    told = validate(replace(WITHDRAWAL, evidence={"page": 7}), PURPOSES, NOW + SKEW)
    assert told == Statement("newsletter", ConsentAction.WITHDRAW, "form", {"page": 7}, NOW, None)
    assert validate(replace(WITHDRAWAL, effective_at=NOW + SKEW), PURPOSES, NOW).effective_at == NOW + SKEW


def test_a_withdrawal_without_a_source_is_of_unknown_source():
    assert validate(replace(WITHDRAWAL, source=""), PURPOSES, NOW).source == UNNAMED_SOURCE


def test_only_an_unknown_purpose_suggests_another():
    with pytest.raises(HubError) as refusal:
        validate(replace(GRANT, source=""), PURPOSES, NOW)
    assert refusal.value.problems[0].suggestion is None


def test_numbers_in_evidence_stay_numbers_as_far_as_every_database_holds_them():
    kept = {"low": -(2**63), "high": 2**63 - 1, "one": 1}
    over = {"over": 2**63, "under": -(2**63) - 1}
    told = validate(replace(WITHDRAWAL, evidence={**kept, **over}), PURPOSES, NOW)
    assert told.evidence == {**kept, "over": str(2**63), "under": str(-(2**63) - 1)}

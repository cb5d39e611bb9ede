"""The laws of consent: what a ledger means, whatever order it is read in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from hub.core.consent import UNHEARD, ConsentStanding, Decision, decide, fold, rank, standings
from hub.core.records import ConsentAction, ConsentEntry, ConsentState

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
PERSON = b"i" * 16
EMAIL = b"e" * 16
PHONE = b"p" * 16
STRANGER = b"x" * 16
LINKED = {PERSON: datetime.fromtimestamp(0, UTC), EMAIL: START, PHONE: START}


def entry(
    action: str,
    day: int,
    *,
    subject: bytes = PERSON,
    seq: int = 1,
    expires: int | None = None,
    recorded: int | None = None,
) -> ConsentEntry:
    return ConsentEntry(
        seq=seq,
        subject=subject,
        purpose="newsletter",
        action=ConsentAction(action),
        source="form",
        evidence=None,
        effective_at=START + day * DAY,
        recorded_at=START + (day if recorded is None else recorded) * DAY,
        expires_at=None if expires is None else START + expires * DAY,
    )


days = st.integers(-3, 6)
entries = st.builds(
    entry,
    st.sampled_from(["GRANT", "DENY", "WITHDRAW"]),
    days,
    subject=st.sampled_from([PERSON, EMAIL, PHONE, STRANGER]),
    expires=st.none() | days,
    recorded=st.none() | days,
)
ledgers = st.lists(entries, max_size=8).map(lambda told: [replace(one, seq=at + 1) for at, one in enumerate(told)])
links = st.dictionaries(st.sampled_from([PERSON, EMAIL, PHONE]), days.map(lambda day: START + day * DAY))
clocks = days.map(lambda day: START + day * DAY)


def allowed(ledger: list[ConsentEntry], linked: dict[bytes, datetime], now: datetime) -> bool:
    return decide(["newsletter"], {"newsletter": fold(ledger, linked)}, now).allowed


@given(ledgers, links, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(ledger, linked, random):
    shuffled = random.sample(ledger, len(ledger))
    assert fold(shuffled, linked) == fold(ledger, linked)


@given(ledgers, links, clocks, entries, st.sampled_from(["DENY", "WITHDRAW"]))
def test_one_more_denial_never_turns_a_no_into_a_yes(ledger, linked, now, another, no):
    denial = replace(another, action=ConsentAction(no), seq=len(ledger) + 1)
    if not allowed(ledger, linked, now):
        assert not allowed([*ledger, denial], linked, now)


@given(ledgers, links, entries)
def test_one_more_denial_never_prolongs_a_permission(ledger, linked, another):
    denial = replace(another, action=ConsentAction.DENY, seq=len(ledger) + 1)
    before, after = fold(ledger, linked), fold([*ledger, denial], linked)
    if after.state is ConsentState.GRANTED and before.expires_at is not None:
        assert after.expires_at is not None
        assert after.expires_at <= before.expires_at


@given(ledgers, links)
def test_hearing_everything_twice_changes_nothing(ledger, linked):
    assert fold(ledger + ledger, linked) == fold(ledger, linked)


@given(ledgers, links, clocks, clocks)
def test_what_lapsed_stays_lapsed(ledger, linked, one, other):
    earlier, later = sorted([one, other])
    if not allowed(ledger, linked, earlier):
        assert not allowed(ledger, linked, later)


@given(ledgers, links, ledgers)
def test_no_purpose_lends_to_another(ledger, linked, others):
    foreign = [replace(one, purpose="ads", seq=one.seq + 100) for one in others]
    together = standings([*ledger, *foreign], linked)
    assert together.get("newsletter", UNHEARD) == fold(ledger, linked)
    assert together.get("ads", UNHEARD) == fold(foreign, linked)


@given(ledgers, links, st.sampled_from([PERSON, EMAIL, PHONE]), clocks, clocks)
def test_a_new_link_never_lifts_a_denial(ledger, linked, subject, since, now):
    linked = {known: at for known, at in linked.items() if known != subject}
    latest = max([START + 7 * DAY, *linked.values()])
    if fold(ledger, linked).state in {ConsentState.DENIED, ConsentState.WITHDRAWN}:
        assert not allowed(ledger, {**linked, subject: latest}, now)


@given(ledgers, links)
def test_one_subject_alone_is_decided_by_its_last_word(ledger, linked):
    heard = [one for one in ledger if one.subject == PERSON]
    found = fold(heard, {PERSON: START})
    if heard:
        assert found.seq == max(heard, key=rank).seq


def test_nothing_heard_is_unknown_and_means_no():
    decision = decide(["newsletter"], {}, START)
    assert fold([], LINKED) == UNHEARD
    assert (decision.allowed, decision.reason) == (False, "newsletter: UNKNOWN")


def test_a_grant_allows_until_it_expires():
    found = fold([entry("GRANT", 0, expires=3)], LINKED)
    assert decide(["newsletter"], {"newsletter": found}, START + 2 * DAY).allowed_until == START + 3 * DAY
    assert decide(["newsletter"], {"newsletter": found}, START + 3 * DAY).reason == "newsletter: EXPIRED"


def test_a_withdrawal_at_the_same_instant_wins():
    told = [entry("WITHDRAW", 1, seq=1), entry("GRANT", 1, seq=2)]
    assert fold(told, LINKED).state is ConsentState.WITHDRAWN


def test_a_grant_that_arrives_late_stays_behind_a_later_withdrawal():
    told = [entry("WITHDRAW", 2, seq=1), entry("GRANT", 1, seq=2, recorded=5)]
    assert fold(told, LINKED) == ConsentStanding(ConsentState.WITHDRAWN, START + 2 * DAY, None, 1)


def test_a_later_grant_lifts_a_withdrawal():
    told = [entry("WITHDRAW", 1, seq=1), entry("GRANT", 2, seq=2)]
    assert fold(told, LINKED).state is ConsentState.GRANTED


def test_between_equal_grants_the_one_recorded_last_counts():
    told = [entry("GRANT", 1, seq=1, expires=9), entry("GRANT", 1, seq=2, expires=4)]
    assert fold(told, LINKED).expires_at == START + 4 * DAY


def test_where_subjects_disagree_a_denial_stands_against_a_grant_recorded_before_the_link():
    linked = {PERSON: datetime.fromtimestamp(0, UTC), EMAIL: START + 5 * DAY}
    told = [entry("DENY", 1, subject=EMAIL, seq=1), entry("GRANT", 2, seq=2)]
    assert fold(told, linked).state is ConsentState.DENIED


def test_where_subjects_disagree_a_grant_recorded_after_the_link_lifts_the_denial():
    linked = {PERSON: datetime.fromtimestamp(0, UTC), EMAIL: START + 5 * DAY}
    told = [entry("DENY", 1, subject=EMAIL, seq=1), entry("GRANT", 6, seq=2)]
    assert fold(told, linked).state is ConsentState.GRANTED


def test_a_merge_with_someone_unheard_adds_nothing():
    alone = fold([entry("GRANT", 1)], {PERSON: START})
    assert fold([entry("GRANT", 1)], {PERSON: START, EMAIL: START + 9 * DAY}) == alone


def test_what_another_person_said_is_not_heard():
    assert fold([entry("GRANT", 1, subject=STRANGER)], LINKED) == UNHEARD


def test_every_purpose_must_be_granted_and_the_first_to_lapse_ends_the_permission():
    yes = ConsentStanding(ConsentState.GRANTED, START, START + 3 * DAY, 1)
    sooner = ConsentStanding(ConsentState.GRANTED, START, START + 2 * DAY, 2)
    assert decide(["a", "b"], {"a": yes, "b": sooner}, START).allowed_until == START + 2 * DAY
    assert not decide(["a", "b", "c"], {"a": yes, "b": sooner}, START).allowed


def test_no_purpose_means_no_and_says_so():
    assert decide([], {}, START) == Decision(False, None, "no purpose is given")


def test_a_yes_is_a_yes_and_says_so():
    yes = ConsentStanding(ConsentState.GRANTED, START, None, 1)
    assert decide(["a"], {"a": yes}, START) == Decision(True, None, "granted")


def test_a_later_grant_takes_the_place_of_an_earlier_one_with_its_expiry():
    told = [entry("GRANT", 1, seq=1, expires=2), entry("GRANT", 3, seq=2)]
    assert fold(told, LINKED) == ConsentStanding(ConsentState.GRANTED, START + 3 * DAY, None, 2)


def test_where_subjects_disagree_the_grants_down_to_the_one_that_lifts_the_denial_bound_it_and_no_earlier_ones():
    linked = {PERSON: datetime.fromtimestamp(0, UTC), EMAIL: START + 5 * DAY}
    told = [
        entry("DENY", 1, subject=EMAIL, seq=1),
        entry("GRANT", 2, seq=2, expires=6, recorded=6),
        entry("GRANT", 3, seq=3, expires=8, recorded=6),
        entry("GRANT", 4, seq=4, expires=9, recorded=4),
    ]
    assert fold(told, linked).expires_at == START + 8 * DAY


def test_a_grant_recorded_at_the_instant_of_the_link_lifts_a_denial():
    linked = {PERSON: datetime.fromtimestamp(0, UTC), EMAIL: START + 5 * DAY}
    told = [entry("DENY", 1, subject=EMAIL, seq=1), entry("GRANT", 2, seq=2, recorded=5)]
    assert fold(told, linked).state is ConsentState.GRANTED

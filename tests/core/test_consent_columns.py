"""A batch of lines is heard exactly as one entry after the other would be."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.consent_columns import LINE, NO_ACTION, NOBODY, STATEMENTS, hear
from hub.core.consent_form import INPUT_FIELDS, SKEW, ConsentInput, Fault, validate
from hub.core.identifiers import Pepper, subject
from hub.core.imports import Rejection
from hub.core.instants import EPOCH, microseconds
from hub.core.records import ConsentAction
from hub.errors import ErrorCode, HubError

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
PURPOSES = ("ads", "newsletter")
PEPPER = Pepper("pepper")

instants = st.sampled_from(
    [
        "",
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.25+02:00",
        "2026-01-01 00:00+02",
        "20260101T000000Z",
        "2026-02-30T00:00:00Z",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-10:00",
        "0999-12-31T00:00:00Z",
        "yesterday",
        (NOW + SKEW).isoformat(),
        (NOW + SKEW + timedelta(seconds=1)).isoformat(),
        (NOW + timedelta(days=30)).isoformat(),
    ]
)
rows = st.fixed_dictionaries(
    {
        "purpose": st.sampled_from(["ads", " newsletter ", "adds", "pärcel"]),
        "action": st.sampled_from(["grant", " GRANT", "deny", "Withdraw"]),
        "source": st.sampled_from(["form", " ", "", "a\x00b"]),
        "effective_at": instants,
        "expires_at": instants,
    }
)


def lines(*told: dict[str, str | None]) -> pa.Table:
    names = list(dict.fromkeys(name for one in told for name in one))
    columns = {name: pa.array([one.get(name) for one in told], pa.string()) for name in names}
    return pa.table({LINE: pa.array(range(2, len(told) + 2), pa.int64()), **columns})


def one_by_one(number: int, row: dict[str, str]) -> dict[str, object] | Rejection:
    action = ConsentAction(row["action"].strip().upper())
    whole = ConsentInput(
        row["purpose"], action, row["source"], "p1", None, None, None, row["effective_at"], row["expires_at"]
    )
    try:
        told = validate(whole, PURPOSES, NOW)
    except HubError as refusal:
        named = {public: column for column, public in INPUT_FIELDS.items()}
        field = refusal.problems[0].path[-1]
        return Rejection(number, refusal.problems[0].message, named.get(field, field), ErrorCode.CONSENT_INVALID)
    return {
        "line": number,
        "purpose": told.purpose,
        "action": told.action.value,
        "source": told.source,
        "effective_us": told.effective_at and microseconds(told.effective_at),
        "expires_us": told.expires_at and microseconds(told.expires_at),
    }


@given(st.lists(rows, min_size=1, max_size=6))
def test_a_batch_is_heard_as_its_lines_would_be_one_by_one(told):
    heard = hear(lines(*({"id": "p1", **row} for row in told)), PURPOSES, PEPPER, NOW)
    expected = [one_by_one(number, row) for number, row in enumerate(told, 2)]
    found = heard.statements.select(["line", "purpose", "action", "source", "effective_us", "expires_us"]).to_pylist()
    assert found == [one for one in expected if isinstance(one, dict)]
    assert heard.rejections == [one for one in expected if isinstance(one, Rejection)]


GRANT = {"id": "p1", "purpose": "ads", "action": "grant", "source": "form", "effective_at": "2026-01-01T00:00:00Z"}
WITHDRAWAL = {"id": "p1", "purpose": "ads", "action": "withdraw"}


def test_people_are_named_by_the_keyed_hash_of_their_normalised_identifier():
    told = [GRANT, {**GRANT, "id": None, "email": " Ada@Example.com "}]
    subjects = hear(lines(*told), PURPOSES, PEPPER, NOW).statements["subject"].to_pylist()
    assert subjects == [subject(PEPPER, "id", "p1"), subject(PEPPER, "email", "ada@example.com")]


@pytest.mark.parametrize(
    ("told", "column", "reason"),
    [
        ({**GRANT, "action": "maybe"}, "action", NO_ACTION),
        ({**GRANT, "action": None}, "action", NO_ACTION),
        ({**GRANT, "id": " "}, "id", NOBODY),
        ({**WITHDRAWAL, "id": None}, "id", NOBODY),
        ({**WITHDRAWAL, "id": None, "email": "nope"}, "email", "The email is not an e-mail address."),
        ({**GRANT, "purpose": "adds"}, "purpose", Fault.PURPOSE.value),
    ],
)
def test_a_line_that_cannot_be_taken_says_why(told, column, reason):
    assert hear(lines(told), PURPOSES, PEPPER, NOW).rejections == [
        Rejection(2, reason, column, ErrorCode.CONSENT_INVALID)
    ]


def test_a_grant_speaks_for_the_first_identifier_that_is_filled_in():
    heard = hear(lines({**GRANT, "email": "ada@example.com"}), PURPOSES, PEPPER, NOW)
    assert heard.statements["subject"].to_pylist() == [subject(PEPPER, "id", "p1")]


def test_a_grant_never_passes_over_an_identifier_it_cannot_read():
    heard = hear(lines({**GRANT, "id": None, "email": "nope", "phone": "+4930901820"}), PURPOSES, PEPPER, NOW)
    assert (heard.statements.num_rows, [one.column for one in heard.rejections]) == (0, ["email"])


def test_a_withdrawal_is_heard_for_every_identifier_it_names():
    told = {**WITHDRAWAL, "email": "ada@example.com", "phone": "nope", "entry_id": "e1"}
    heard = hear(lines(told), PURPOSES, PEPPER, NOW)
    assert heard.statements["subject"].to_pylist() == [
        subject(PEPPER, "id", "p1"),
        subject(PEPPER, "email", "ada@example.com"),
    ]
    assert heard.statements["entry_id"].to_pylist() == ["e1", "e1#email"]
    assert heard.rejections == []


def test_a_withdrawal_without_a_purpose_is_heard_for_all_of_them():
    heard = hear(lines({**WITHDRAWAL, "purpose": " ", "entry_id": "e1"}, WITHDRAWAL), PURPOSES, PEPPER, NOW)
    told = heard.statements.select(["line", "purpose", "entry_id"]).to_pylist()
    assert sorted((one["line"], one["purpose"], one["entry_id"]) for one in told) == [
        (2, "ads", "e1#ads"),
        (2, "newsletter", "e1#newsletter"),
        (3, "ads", ""),
    ]


def test_columns_of_other_names_are_evidence():
    heard = hear(lines({**GRANT, "form_url": 'https://example.com/"a"', "ip": ""}, GRANT), PURPOSES, PEPPER, NOW)
    [told, nothing] = heard.statements["evidence"].to_pylist()
    assert json.loads(told) == {"form_url": 'https://example.com/"a"'}
    assert nothing is None


def test_the_other_identifiers_of_a_grant_are_not_kept_as_evidence():
    heard = hear(lines({**GRANT, "email": "ada@example.com"}), PURPOSES, PEPPER, NOW)
    assert heard.statements["evidence"].to_pylist() == [None]


def test_no_lines_say_nothing():
    heard = hear(lines(GRANT).slice(0, 0), PURPOSES, PEPPER, NOW)
    assert (heard.statements.schema, heard.statements.num_rows, heard.rejections) == (STATEMENTS, 0, [])


def test_instants_count_from_1970():
    assert microseconds(EPOCH + timedelta(seconds=1)) == 1_000_000

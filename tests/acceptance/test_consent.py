"""Consent: what may be recorded, what it adds up to, and who it applies to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.acceptance.process import Hub, until

HEADER = "id,purpose,action,source,effective_at"


@pytest.fixture(scope="module", autouse=True)
def _purposes(hub: Hub) -> None:
    hub.create("purpose", key="mail", name="Newsletter", description="Once a week")
    hub.create("purpose", key="ads", name="Advertising")


def in_(**span: float) -> str:
    return (datetime.now(UTC) + timedelta(**span)).isoformat()


def states(hub: Hub, person: str) -> dict[str, str]:
    found = hub.profile(person, "consents { purpose state }")
    assert found is not None
    return {one["purpose"]: one["state"] for one in found["consents"]}


def state(hub: Hub, person: str, purpose: str = "mail") -> str:
    return states(hub, person)[purpose]


def counts(report: dict[str, Any]) -> tuple[int, int, int]:
    return report["accepted"], report["unchanged"], report["rejected"]


def test_nothing_on_record_is_unknown_for_every_purpose(hub: Hub) -> None:
    hub.people([{"id": "new"}])
    assert states(hub, "new") == {"mail": "UNKNOWN", "ads": "UNKNOWN"}


def test_a_decision_is_recorded_and_answered_with_what_it_adds_up_to(hub: Hub) -> None:
    hub.people([{"id": "one"}])
    given = hub.consent(externalId="one", purpose="mail", action="GRANT", source="web form", evidence={"form": 7})
    assert given["errors"] == []
    assert (given["consent"]["state"], given["consent"]["source"]) == ("GRANTED", "web form")
    hub.consent(externalId="one", purpose="mail", action="WITHDRAW", source="phone")
    (mail,) = (
        one
        for one in hub.profile(
            "one",
            "consents { purpose state source recordedAt expiresAt "
            "history { action source evidence effectiveAt recordedAt } }",
        )["consents"]
        if one["purpose"] == "mail"
    )
    assert (mail["state"], mail["source"]) == ("WITHDRAWN", "phone")
    assert [one["action"] for one in mail["history"]] == ["WITHDRAW", "GRANT"]
    assert mail["history"][1]["evidence"] == {"form": 7}
    assert mail["history"][1]["effectiveAt"].startswith("2024-01-01T00:00:00")
    assert state(hub, "one", "ads") == "UNKNOWN"


@pytest.mark.parametrize(
    ("given", "code", "path"),
    [
        ({"purpose": "mial"}, "CONSENT_INVALID", "purpose"),
        ({"effectiveAt": None}, "CONSENT_INVALID", "effectiveAt"),
        ({"effectiveAt": "2024-01-01T00:00:00"}, "CONSENT_INVALID", "effectiveAt"),
        ({"effectiveAt": "2099-01-01T00:00:00Z"}, "CONSENT_INVALID", "effectiveAt"),
        ({"identifierKind": "email", "identifier": "x@example.com"}, None, None),
        ({"externalId": None}, None, None),
        ({"externalId": None, "identifierKind": "email"}, None, None),
        ({"externalId": None, "identifierKind": "email", "identifier": "nonsense"}, None, "identifier"),
        ({"externalId": None, "identifierKind": "telex", "identifier": "12"}, None, "identifierKind"),
        ({"source": ""}, "CONSENT_INVALID", "source"),
        ({"expiresAt": "2023-01-01T00:00:00Z"}, "CONSENT_INVALID", "expiresAt"),
    ],
)
def test_a_grant_that_cannot_be_used_is_refused(
    hub: Hub, given: dict[str, Any], code: str | None, path: str | None
) -> None:
    hub.people([{"id": "bad"}])
    payload = hub.consent(**{"externalId": "bad", "purpose": "mail", "action": "GRANT", **given})
    assert payload["consent"] is None
    error = payload["errors"][0]
    if code:
        assert error["code"] == code
    if path:
        assert error["path"] == ["input", path]
    assert "nonsense" not in error["message"]
    assert state(hub, "bad") == "UNKNOWN"


def test_an_unknown_purpose_of_a_grant_is_refused_with_the_one_that_was_meant(hub: Hub) -> None:
    payload = hub.consent(externalId="bad", purpose="mial", action="GRANT")
    assert payload["errors"][0]["suggestion"] == "mail"


@pytest.mark.parametrize("action", ["DENY", "WITHDRAW"])
def test_denials_and_withdrawals_are_never_refused_on_form(hub: Hub, action: str) -> None:
    person = f"firm-{action.lower()}"
    hub.people([{"id": person}])
    hub.grant("mail", person)
    for given in (
        {"purpose": "never-heard-of"},
        {"purpose": "mail", "source": "", "effectiveAt": "2024-06-01T00:00:00"},
        {"purpose": "mail", "expiresAt": "1999-01-01T00:00:00Z"},
        {"purpose": "mail", "effectiveAt": "2099-01-01T00:00:00Z"},
    ):
        payload = hub.consent(**{"externalId": person, "action": action, **given})
        assert payload["errors"] == [], given
    assert state(hub, person) == {"DENY": "DENIED", "WITHDRAW": "WITHDRAWN"}[action]


def test_a_withdrawal_for_an_unknown_purpose_holds_when_the_purpose_is_made(hub: Hub) -> None:
    hub.people([{"id": "early"}])
    assert hub.consent(externalId="early", purpose="sms", action="WITHDRAW")["errors"] == []
    hub.create("purpose", key="sms", name="Texts")
    assert state(hub, "early", "sms") == "WITHDRAWN"
    hub.grant("sms", "early")
    assert state(hub, "early", "sms") == "WITHDRAWN"


def test_a_grant_expires_by_itself(hub: Hub) -> None:
    hub.people([{"id": "short"}])
    end = datetime.now(UTC) + timedelta(seconds=2)
    hub.consent(externalId="short", purpose="mail", action="GRANT", expiresAt=end.isoformat())
    # On a busy machine it may have ended before anybody asks.
    assert state(hub, "short") == "GRANTED" or datetime.now(UTC) >= end
    until(lambda: state(hub, "short") == "EXPIRED")
    assert datetime.now(UTC) >= end


def test_a_late_grant_from_before_a_withdrawal_changes_nothing(hub: Hub) -> None:
    hub.people([{"id": "late"}])
    hub.consent(externalId="late", purpose="mail", action="WITHDRAW", effectiveAt="2024-06-01T00:00:00Z")
    hub.consent(externalId="late", purpose="mail", action="GRANT", effectiveAt="2024-05-01T00:00:00Z")
    assert state(hub, "late") == "WITHDRAWN"
    hub.consent(externalId="late", purpose="mail", action="GRANT", effectiveAt="2024-07-01T00:00:00Z")
    assert state(hub, "late") == "GRANTED"


def test_a_withdrawal_at_the_same_instant_as_a_grant_wins(hub: Hub) -> None:
    hub.people([{"id": "tie"}])
    moment = "2024-06-01T00:00:00Z"
    hub.consent(externalId="tie", purpose="mail", action="WITHDRAW", effectiveAt=moment)
    hub.consent(externalId="tie", purpose="mail", action="GRANT", effectiveAt=moment)
    assert state(hub, "tie") == "WITHDRAWN"


def test_a_decision_by_address_waits_for_whoever_turns_up_with_it(hub: Hub) -> None:
    given = hub.consent(identifierKind="email", identifier="Wait@Example.com", purpose="mail", action="GRANT")
    assert given["errors"] == []
    hub.consent(identifierKind="email", identifier="no@example.com", purpose="mail", action="DENY")
    hub.people([{"id": "wait", "email": "wait@example.com"}, {"id": "no", "email": "no@example.com"}])
    assert (state(hub, "wait"), state(hub, "no")) == ("GRANTED", "DENIED")


def test_a_decision_by_an_older_address_still_counts(hub: Hub) -> None:
    hub.people([{"id": "moved", "email": "old@example.com"}])
    hub.grant("mail", "moved")
    hub.people([{"id": "moved", "email": "new@example.com"}])
    hub.consent(identifierKind="email", identifier="old@example.com", purpose="mail", action="WITHDRAW")
    assert state(hub, "moved") == "WITHDRAWN"


def test_the_people_behind_an_identifier_are_found_oldest_first(hub: Hub) -> None:
    hub.people([{"id": "z-first", "email": "both@example.com"}])
    hub.people([{"id": "a-second", "email": "both@example.com"}])
    asked = "query($k: String!, $v: String!) { profilesByIdentifier(kind: $k, value: $v) { externalId } }"
    found = hub.ask(asked, k="email", v=" BOTH@example.com")["profilesByIdentifier"]
    assert [one["externalId"] for one in found] == ["z-first", "a-second"]
    assert hub.ask(asked, k="email", v="none@example.com")["profilesByIdentifier"] == []
    hub.people([{"id": "z-first", "email": "moved-on@example.com"}])
    found = hub.ask(asked, k="email", v="both@example.com")["profilesByIdentifier"]
    assert [one["externalId"] for one in found] == ["z-first", "a-second"]


def test_a_file_of_consents_goes_in_by_id_and_by_identifier(hub: Hub) -> None:
    hub.people([{"id": "file1", "email": "file1@example.com"}, {"id": "file2", "email": "file2@example.com"}])
    body = f"{HEADER}\nfile1,mail,grant,form,2024-01-01T00:00:00Z\nfile1,ads,deny,form,\n"
    assert counts(hub.take_in("consents", body)) == (2, 0, 0)
    by_mail = (
        "email,purpose,action,source,effective_at,form_version\n"
        "FILE2@example.com,mail,grant,form,2024-01-01T00:00:00+01:00,v7\n"
        "ghost@example.com,mail,grant,form,2024-01-01T00:00:00Z,v7\n"
    )
    assert counts(hub.take_in("consents", by_mail)) == (2, 0, 0)
    assert states(hub, "file1") | {"sms": ""} == {"mail": "GRANTED", "ads": "DENIED", "sms": ""}
    assert state(hub, "file2") == "GRANTED"
    hub.people([{"id": "ghost", "email": "ghost@example.com"}])
    assert state(hub, "ghost") == "GRANTED"
    history = hub.profile("file2", "consents { purpose history { evidence effectiveAt } }")["consents"]
    (mail,) = (one for one in history if one["purpose"] == "mail")
    assert mail["history"][0]["evidence"] == {"form_version": "v7"}
    assert mail["history"][0]["effectiveAt"].startswith("2023-12-31T23:00:00")


def test_the_same_file_of_consents_again_changes_nothing(hub: Hub) -> None:
    hub.people([{"id": "again"}])
    body = f"{HEADER}\nagain,mail,grant,form,2024-01-01T00:00:00Z\nagain,ads,withdraw,form,2024-01-01T00:00:00Z\n"
    assert counts(hub.take_in("consents", body)) == (2, 0, 0)
    assert counts(hub.take_in("consents", body)) == (0, 2, 0)
    more = body + "again,ads,deny,form,2024-02-01T00:00:00Z\n"
    assert counts(hub.take_in("consents", more)) == (1, 2, 0)


def test_an_entry_id_is_recorded_once(hub: Hub) -> None:
    hub.people([{"id": "once"}])
    body = "id,purpose,action,source,effective_at,entry_id\nonce,mail,grant,form,2024-01-01T00:00:00Z,e-1\n"
    assert counts(hub.take_in("consents", body)) == (1, 0, 0)
    assert counts(hub.take_in("consents", body)) == (0, 1, 0)


def test_a_bad_line_of_consents_is_rejected_and_the_rest_goes_in(hub: Hub) -> None:
    hub.people([{"id": "ok"}])
    report = hub.take_in(
        "consents",
        f"{HEADER}\n"
        "ok,mail,grant,form,2024-01-01\n"
        "ok,mail,agree,form,2024-01-01T00:00:00Z\n"
        "ok,mail,grant,form,\n"
        "ok,nothing-such,grant,form,2024-01-01T00:00:00Z\n"
        ",mail,grant,form,2024-01-01T00:00:00Z\n"
        "ok,mail,grant,form,2024-01-01T00:00:00Z\n",
    )
    assert counts(report) == (1, 0, 5)
    assert [one["line"] for one in report["rejections"]] == [2, 3, 4, 5, 6]
    assert {one["code"] for one in report["rejections"]} <= {"CONSENT_INVALID", "INVALID", "NOT_FOUND"}
    assert state(hub, "ok") == "GRANTED"


def test_withdrawals_in_a_file_are_taken_for_what_they_say(hub: Hub) -> None:
    hub.people([{"id": "leave"}])
    hub.grant("mail", "leave")
    report = hub.take_in(
        "consents",
        f"{HEADER}\nleave,mail,withdraw,,\nleave,no-such-purpose,withdraw,form,\nleave,ads,deny,form,2024-01-01\n",
    )
    assert counts(report) == (3, 0, 0)
    assert state(hub, "leave") == "WITHDRAWN"
    assert state(hub, "leave", "ads") == "DENIED"


def test_purposes_are_made_changed_and_listed(hub: Hub) -> None:
    assert {"key": "mail", "name": "Newsletter", "description": "Once a week"} in hub.ask(
        "{ purposes { key name description } }"
    )["purposes"]
    hub.create("purpose", key="survey", name="Surveys", description="d")
    signature = "$key: String!, $input: PurposeUpdateInput!"
    changed = hub.do("purposeUpdate", signature, "purpose { name description }", key="survey", input={"name": "S"})
    assert changed["purpose"] == {"name": "S", "description": "d"}
    cleared = hub.do(
        "purposeUpdate", signature, "purpose { name description }", key="survey", input={"description": None}
    )
    assert cleared["purpose"] == {"name": "S", "description": ""}
    taken = hub.try_create("purpose", key="mail", name="Other")["errors"][0]
    assert (taken["code"], taken["path"]) == ("CONFLICT", ["input", "key"])
    missing = hub.do("purposeUpdate", signature, "purpose { name }", key="mial", input={"name": "S"})["errors"][0]
    assert (missing["code"], missing["path"], missing["suggestion"]) == ("NOT_FOUND", ["key"], "mail")

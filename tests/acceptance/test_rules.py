"""What rules mean: every form of the rule language, answered by hand and by the hub."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.process import Hub, serving
from tests.acceptance.town import NOON, populate

PREVIEW = """query($rule: String!, $asOf: DateTime, $segment: String, $sample: Int = 10) {
  rulePreview(rule: $rule, asOf: $asOf, segment: $segment, sample: $sample) {
    matchCount explanation entering leaving sample { externalId }
    warnings { code message path line column suggestion }
    errors { code message path line column suggestion }
  }
}"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with serving(tmp_path_factory.mktemp("rules") / "data") as found:
        populate(found)
        yield found


def preview(hub: Hub, rule: str, as_of: str | None = NOON, **more: Any) -> dict[str, Any]:
    return hub.ask(PREVIEW, rule=rule, asOf=as_of, **more)["rulePreview"]


def matched(hub: Hub, rule: str, as_of: str | None = NOON) -> set[str]:
    found = preview(hub, rule, as_of)
    assert found["errors"] == [], found["errors"]
    people = {one["externalId"] for one in found["sample"]}
    assert found["matchCount"] == len(people)
    return people


ADA, BEN, CEM, DIA, EVA = "ada", "ben", "cem", "dia", "eva"
EVERYONE = {ADA, BEN, CEM, DIA, EVA}

IN_THE_GUIDE = [
    ('country in ("DE", "AT") and plan != "free"', {ADA}),
    ("age between 25 and 54 and ltv >= 150", {ADA, BEN}),
    ("count(purchase, last 90 days) >= 1", {ADA, CEM}),
    ("count(product_view, last 180 days) >= 2 and not did(purchase, last 180 days)", {EVA}),
    ('email_consent and (plan != "free" or ltv >= 35) and did(any event, last 36 days)', {ADA, BEN}),
    ("sum(purchase.value, last 90 days) > 500 or avg(purchase.value) > 100", {ADA, BEN}),
    ('did(product_view where category = "shoes" and value > 20, last 7 days)', {ADA}),
    ("distinct(product_view.category, last 14 days) >= 3", {CEM}),
    ('last(purchase) before 60 days ago and first(purchase) after "2025-01-01"', {BEN}),
    ('in segment "vip" and not in segment "recent_buyers"', {BEN, DIA}),
    ('email is known and email ends with "@example.com" and not (city contains "berlin")', {EVA}),
    ('tags has any ("press", "partner")', {ADA, BEN}),
    (
        "count(email_opened, last 90 days) / count(email_sent, last 90 days) > 0.4 and not did(purchase, last 90 days)",
        {BEN, EVA},
    ),
    ("signed_up_at in last 14 days", {ADA, CEM}),
    ('everyone and not in segment "staff"', {ADA, CEM, DIA, EVA}),
]


@pytest.mark.parametrize(("rule", "people"), IN_THE_GUIDE)
def test_the_rules_of_the_guide_mean_what_they_say(hub: Hub, rule: str, people: set[str]) -> None:
    assert matched(hub, rule) == people


@pytest.mark.parametrize(
    ("rule", "people"),
    [
        ("everyone", EVERYONE),
        ("not everyone", set()),
        # Unknown is neither true nor false.
        ('not plan = "free"', {ADA, CEM, DIA}),
        ('not (plan = "free")', {ADA, CEM, DIA}),
        ("plan is unknown", {EVA}),
        ('plan = "free" or not plan = "free"', {ADA, BEN, CEM, DIA}),
        ('plan = "free" or country = "DE"', {ADA, BEN, EVA}),
        ("email_consent", {ADA, BEN}),
        ("not email_consent", {CEM}),
        # Nothing counts as nothing; of nothing there is no average.
        ("sum(purchase.value) = 0", {DIA, EVA}),
        ("not did(purchase)", {DIA, EVA}),
        ("count(purchase) = 0", {DIA, EVA}),
        ("distinct(purchase.value) = 0", {DIA, EVA}),
        ("avg(purchase.value) < 100000", {ADA, BEN, CEM}),
        ("not avg(purchase.value) > 100000", {ADA, BEN, CEM}),
        ("max(purchase.value) = 300 and min(purchase.value) = 250", {ADA}),
        ("avg(purchase.value) is unknown", {DIA, EVA}),
        ("last(purchase) is unknown", {DIA, EVA}),
        # Dividing by zero is unknown.
        ("count(email_opened) / count(email_sent) >= 0", {ADA, BEN, EVA}),
        ("not (count(email_opened) / count(email_sent) < 0)", {ADA, BEN, EVA}),
        # A window is half open and counts in fixed lengths.
        ("did(purchase, last 1 second)", {CEM}),
        ("did(`Order Completed`, last 12 hours)", set()),
        ("did(`Order Completed`, last 721 minutes)", {EVA}),
        ("did(`Order Completed`, last 13 hours)", {EVA}),
        ("did(purchase, last 13 weeks)", {ADA, BEN, CEM}),
        ("did(`Order Completed` where `item count` = 2)", {EVA}),
        # Text compares by code point; what looks like a pattern is text.
        ('city contains "Berlin"', {BEN}),
        ('city contains "%"', {CEM}),
        ('city contains "_"', {CEM}),
        ('city starts with "100%_"', {CEM}),
        ('city < "U"', {ADA, BEN, CEM}),
        ('`favourite colour` = "a \\"b\\" \\\\ c"', {BEN}),
        ('city = "\' or 1=1 --"', set()),
        # Keywords in any case.
        ("country is KNOWN AND NOT plan Is Known", {EVA}),
        ('country IN ("DE") Or EVERYONE', EVERYONE),
        # Strictly after the instant.
        ('signed_up_at after "2025-05-20"', {CEM, DIA}),
        ('signed_up_at after "2025-05-20T00:00:00+01:00"', {ADA, CEM, DIA}),
        ('signed_up_at before "2025-05-20"', {BEN}),
        ('country not in ("DE", "AT")', {CEM}),
        ("ltv + 1 > 400 or ltv * 2 = 300", {BEN, DIA}),
        ("age - 5 = 25", {ADA}),
        ("ltv between 149.99 and 150", {BEN, CEM}),
        ("did(product_view where value is unknown)", {DIA}),
        ('count(product_view where not category = "shoes") >= 1', {ADA, CEM, EVA}),
    ],
)
def test_a_rule_matches_whom_it_should(hub: Hub, rule: str, people: set[str]) -> None:
    assert matched(hub, rule) == people


def test_the_clock_is_as_of_also_inside_other_segments(hub: Hub) -> None:
    rule = 'in segment "recent_buyers"'
    assert matched(hub, rule) == {ADA, CEM}
    assert matched(hub, rule, "2025-06-01T00:00:01Z") == {ADA, CEM, DIA}
    assert matched(hub, rule, "2025-04-15T00:00:00Z") == {ADA, BEN}
    assert matched(hub, rule, "2020-01-01T00:00:00Z") == set()
    assert matched(hub, rule, None) == set()
    assert matched(hub, "did(purchase)", "2025-04-15T00:00:00Z") == {ADA, BEN}
    assert matched(hub, "did(purchase, last 90 days)", "2025-06-01T02:00:00+02:00") == {ADA, CEM}


@pytest.mark.parametrize(
    ("rule", "code", "line", "column", "suggestion"),
    [
        ('country = "DE" and pln = "x"', "RULE_UNKNOWN_TRAIT", 1, 20, "plan"),
        ('country = "DE"\n  and agee > 3', "RULE_UNKNOWN_TRAIT", 2, 7, "age"),
        ("sum(purchase.valu) > 3", "RULE_UNKNOWN_TRAIT", 1, None, "value"),
        ('did(product_view where categry = "x")', "RULE_UNKNOWN_TRAIT", 1, 24, "category"),
        ('in segment "vipp"', None, 1, None, "vip"),
        ('age > "old"', "RULE_TYPE", 1, None, None),
        ("country > 3", "RULE_TYPE", 1, None, None),
        ("country", "RULE_TYPE", 1, 1, None),
        ("tags = 3", "RULE_TYPE", 1, None, None),
        ("avg(product_view.category) > 1", "RULE_TYPE", 1, None, None),
        ('signed_up_at after "yesterday"', None, 1, None, None),
        ("country in ()", "RULE_SYNTAX", 1, None, None),
        ("tags has any ()", "RULE_SYNTAX", 1, None, None),
        ("", "RULE_SYNTAX", None, None, None),
        ("   \n ", "RULE_SYNTAX", None, None, None),
        ("age > ", "RULE_SYNTAX", 1, None, None),
        ("age >> 3", "RULE_SYNTAX", 1, 6, None),
        ("age > 3 nad ltv > 4", "RULE_SYNTAX", 1, 9, "and"),
        ("did(purchase, last 7 dayz)", "RULE_SYNTAX", 1, 22, "day"),
        ('country = "DE', "RULE_SYNTAX", 1, None, None),
        ("(" * 200 + "everyone" + ")" * 200, None, None, None, None),
    ],
)
def test_a_wrong_rule_is_an_error_with_its_place(
    hub: Hub, rule: str, code: str | None, line: int | None, column: int | None, suggestion: str | None
) -> None:
    found = preview(hub, rule)
    assert found["matchCount"] is None
    assert found["errors"], rule
    one = found["errors"][0]
    assert one["path"] == ["rule"]
    assert one["code"] in ([code] if code else ["RULE_SYNTAX", "RULE_TYPE", "RULE_UNKNOWN_TRAIT", "NOT_FOUND", "LIMIT"])
    if line:
        assert (one["line"], one["column"] is not None) == (line, True)
    if column:
        assert one["column"] == column
    if suggestion:
        assert suggestion in (one["suggestion"] or "")
    made = hub.try_create("segment", key="never", rule=rule)
    assert (made["segment"], made["errors"][0]["path"]) == (None, ["input", "rule"])
    assert hub.ask('{ segment(key: "never") { id } }')["segment"] is None


def test_an_event_never_seen_is_a_warning_with_what_was_meant(hub: Hub) -> None:
    found = preview(hub, "did(purchse, last 7 days)")
    assert (found["errors"], found["matchCount"]) == ([], 0)
    (warning,) = found["warnings"]
    assert (warning["line"], warning["column"]) == (1, 5)
    assert "purchase" in warning["suggestion"]


def test_a_preview_compares_with_the_version_in_force_and_explains(hub: Hub) -> None:
    hub.create("segment", key="grown", rule="age >= 54")
    found = preview(hub, "age <= 54", segment="grown", sample=1)
    assert (found["matchCount"], found["entering"], found["leaving"]) == (4, 3, 1)
    assert len(found["sample"]) == 1
    assert found["explanation"]
    assert preview(hub, "everyone")["entering"] is None
    wrong = preview(hub, "everyone", segment="growm")
    assert (wrong["errors"][0]["code"], wrong["errors"][0]["path"]) == ("NOT_FOUND", ["segment"])
    assert wrong["errors"][0]["suggestion"] == "grown"


def test_a_segment_is_evaluated_when_it_is_made_and_when_its_rule_changes(hub: Hub) -> None:
    chosen = "segment { version rule description evaluation { size entered left } members { nodes { externalId } } }"

    def change(**given: Any) -> dict[str, Any]:
        return hub.do("segmentUpdate", "$key: String!, $input: SegmentUpdateInput!", chosen, key="young", input=given)

    made = hub.do(
        "segmentCreate",
        "$input: SegmentCreateInput!",
        chosen,
        input={"key": "young", "name": "Young", "rule": "age < 30", "description": "d"},
    )["segment"]
    assert made["evaluation"] == {"size": 2, "entered": 2, "left": 0}
    assert {one["externalId"] for one in made["members"]["nodes"]} == {BEN, EVA}
    later = change(rule="age between 25 and 30", ifVersion=made["version"])["segment"]
    assert later["evaluation"] == {"size": 2, "entered": 1, "left": 1}
    assert later["version"] == made["version"] + 1
    assert change(name="x", ifVersion=made["version"])["errors"][0]["code"] == "CONFLICT"
    assert change(rule="agee > 3")["errors"][0]["path"] == ["input", "rule"]
    assert change(description=None)["segment"]["description"] == ""
    kept = hub.ask('{ segment(key: "young") { rule } }')["segment"]
    assert kept["rule"] == "age between 25 and 30"


def test_an_evaluation_as_of_another_time_leaves_the_live_one_alone(hub: Hub) -> None:
    evaluation = "evaluation { size asOf } members { totalCount }"
    hub.create("segment", key="buyers30", rule="did(purchase, last 30 days)")
    then = hub.do(
        "segmentEvaluate",
        "$key: String!, $asOf: DateTime",
        f"segment {{ {evaluation} }}",
        key="buyers30",
        asOf="2025-05-02T00:00:00Z",
    )["segment"]
    assert then["evaluation"]["size"] == 1
    now = hub.ask(f'{{ segment(key: "buyers30") {{ {evaluation} }} }}')["segment"]
    assert (now["evaluation"]["size"], now["members"]["totalCount"]) == (0, 0)


def test_a_bad_key_a_taken_key_and_a_rule_that_leads_back_to_itself_are_refused(hub: Hub) -> None:
    bad = hub.try_create("segment", key="Not A Slug", rule="everyone")["errors"][0]
    assert (bad["code"], bad["path"]) == ("INVALID", ["input", "key"])
    taken = hub.try_create("segment", key="vip", rule="everyone")["errors"][0]
    assert (taken["code"], taken["path"]) == ("CONFLICT", ["input", "key"])
    hub.create("segment", key="outer", rule='in segment "vip"')
    circle = hub.update("segment", "vip", rule='in segment "outer"')["errors"][0]
    assert circle["path"] == ["input", "rule"]
    itself = hub.update("segment", "vip", rule='in segment "vip"')["errors"]
    assert itself


def test_a_segment_that_another_rule_names_is_not_deleted(hub: Hub) -> None:
    hub.create("segment", key="inner", rule="age > 1")
    hub.create("segment", key="names-inner", rule='in segment "inner"')
    delete = lambda key: hub.do("segmentDelete", "$key: String!", "segment { key }", key=key)  # noqa: E731
    refused = delete("inner")["errors"][0]
    assert refused["code"] == "CONFLICT"
    assert "names-inner" in refused["message"]
    assert delete("names-inner")["segment"] == {"key": "names-inner"}
    assert delete("inner")["errors"] == []
    missing = delete("inner")["errors"][0]
    assert (missing["code"], missing["path"]) == ("NOT_FOUND", ["key"])


def test_a_profile_says_why_it_is_in_or_out(hub: Hub) -> None:
    hub.create("segment", key="why", rule='country = "DE" and age < 26')
    asked = 'membership(segment: "why") { member since because } segments { key }'
    eva, ada, dia = (hub.profile(one, asked) for one in (EVA, ADA, DIA))
    assert eva and ada and dia
    assert eva["membership"]["member"] is True
    assert eva["membership"]["since"]
    assert "why" in {one["key"] for one in eva["segments"]}
    assert (ada["membership"]["member"], ada["membership"]["since"]) == (False, None)
    assert dia["membership"]["member"] is False
    assert "30" in str(ada["membership"]["because"])
    assert hub.profile(EVA, 'membership(segment: "nowhere") { member }') == {"membership": None}

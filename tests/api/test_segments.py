from __future__ import annotations

from tests.web.served import EVENTS, PEOPLE, Served

CREATE = """
mutation($input: SegmentCreateInput!) {
  segmentCreate(input: $input) {
    segment { id key name description rule version explanation evaluation { size entered left asOf evaluatedAt } }
    errors { code message path line column suggestion }
  }
}"""
UPDATE = """
mutation($key: String!, $input: SegmentUpdateInput!) {
  segmentUpdate(key: $key, input: $input) {
    segment { name description rule version evaluation { size entered left } } errors { code message path }
  }
}"""


async def make(web: Served, key: str, rule: str, **more: str) -> dict:
    payload = (await web.ask(CREATE, input={"key": key, "name": key.title(), "rule": rule, **more}))["segmentCreate"]
    assert payload["errors"] == []
    return payload["segment"]


async def test_a_new_segment_comes_back_evaluated_and_explained(peopled: Served) -> None:
    segment = await make(peopled, "austria", 'country = "AT"')
    assert segment["evaluation"] | {"asOf": "", "evaluatedAt": ""} == {
        "size": 2,
        "entered": 2,
        "left": 0,
        "asOf": "",
        "evaluatedAt": "",
    }
    assert segment["version"] == 1 and segment["description"] == ""
    assert "AT" in segment["explanation"]


async def test_a_rule_with_an_unknown_trait_says_where_and_what_was_meant(peopled: Served) -> None:
    answer = await peopled.ask(CREATE, input={"key": "a", "name": "A", "rule": 'cuntry = "AT"'})
    assert answer["segmentCreate"]["segment"] is None
    [error] = answer["segmentCreate"]["errors"]
    assert error["code"] == "RULE_UNKNOWN_TRAIT"
    assert error["path"] == ["input", "rule"]
    assert (error["line"], error["column"]) == (1, 1)
    assert error["suggestion"] == "country"
    assert (await peopled.ask("{ segments { totalCount } }"))["segments"]["totalCount"] == 0


async def test_a_taken_key_is_a_conflict_at_the_key(peopled: Served) -> None:
    await make(peopled, "austria", 'country = "AT"')
    answer = await peopled.ask(CREATE, input={"key": "austria", "name": "A", "rule": "everyone"})
    [error] = answer["segmentCreate"]["errors"]
    assert (error["code"], error["path"]) == ("CONFLICT", ["input", "key"])


async def test_in_an_update_absent_keeps_and_null_clears(peopled: Served) -> None:
    await make(peopled, "austria", 'country = "AT"', description="Neighbours")
    kept = (await peopled.ask(UPDATE, key="austria", input={"name": "Österreich"}))["segmentUpdate"]["segment"]
    assert (kept["name"], kept["description"]) == ("Österreich", "Neighbours")
    cleared = (await peopled.ask(UPDATE, key="austria", input={"description": None}))["segmentUpdate"]["segment"]
    assert (cleared["name"], cleared["description"]) == ("Österreich", "")


async def test_what_cannot_be_empty_cannot_be_cleared(peopled: Served) -> None:
    await make(peopled, "austria", 'country = "AT"')
    payload = (await peopled.ask(UPDATE, key="austria", input={"rule": None, "name": None}))["segmentUpdate"]
    assert payload["segment"] is None
    assert sorted(error["path"][1] for error in payload["errors"]) == ["name", "rule"]
    assert {error["code"] for error in payload["errors"]} == {"INVALID"}


async def test_a_new_rule_is_evaluated_before_the_mutation_returns(peopled: Served) -> None:
    await make(peopled, "austria", 'country = "AT"')
    changed = (await peopled.ask(UPDATE, key="austria", input={"rule": 'country = "DE"'}))["segmentUpdate"]["segment"]
    assert changed["version"] == 2
    assert changed["evaluation"] == {"size": 1, "entered": 1, "left": 2}


async def test_an_update_against_an_old_version_is_refused(peopled: Served) -> None:
    await make(peopled, "austria", 'country = "AT"')
    await peopled.ask(UPDATE, key="austria", input={"name": "B"})
    payload = (await peopled.ask(UPDATE, key="austria", input={"name": "C", "ifVersion": 1}))["segmentUpdate"]
    [error] = payload["errors"]
    assert (error["code"], error["path"]) == ("CONFLICT", ["input", "ifVersion"])


async def test_an_update_that_names_nothing_changes_nothing(peopled: Served) -> None:
    await make(peopled, "austria", 'country = "AT"')
    for nothing in ({}, {"ifVersion": 1}, {"ifVersion": None}):
        kept = (await peopled.ask(UPDATE, key="austria", input=nothing))["segmentUpdate"]["segment"]
        assert (kept["version"], kept["evaluation"]["size"]) == (1, 2)


async def test_an_unknown_key_is_not_found_at_the_key(peopled: Served) -> None:
    [error] = (await peopled.ask(UPDATE, key="nobody", input={"name": "C"}))["segmentUpdate"]["errors"]
    assert (error["code"], error["path"]) == ("NOT_FOUND", ["key"])


async def test_members_come_in_pages_that_miss_and_repeat_nobody(peopled: Served) -> None:
    await make(peopled, "all", "everyone")
    page = """query($after: String) { segment(key: "all") { members(first: 3, after: $after) {
        totalCount nodes { externalId } edges { cursor node { externalId } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"""
    first = (await peopled.ask(page))["segment"]["members"]
    second = (await peopled.ask(page, after=first["pageInfo"]["endCursor"]))["segment"]["members"]
    assert first["totalCount"] == second["totalCount"] == 4
    assert [node["externalId"] for node in first["nodes"] + second["nodes"]] == ["p1", "p2", "p3", "p4"]
    assert (first["pageInfo"]["hasNextPage"], first["pageInfo"]["hasPreviousPage"]) == (True, False)
    assert (second["pageInfo"]["hasNextPage"], second["pageInfo"]["hasPreviousPage"]) == (False, True)
    assert first["edges"][-1]["cursor"] == first["pageInfo"]["endCursor"]


async def test_a_cursor_from_nowhere_is_refused(peopled: Served) -> None:
    error = await peopled.refused('{ profiles(after: "nonsense") { totalCount } }')
    assert (error["extensions"]["code"], error["extensions"]["path"]) == ("INVALID", ["after"])


async def test_a_cursor_of_another_list_is_refused(peopled: Served) -> None:
    await make(peopled, "all", "everyone")
    await make(peopled, "austria", 'country = "AT"')
    ask = """{ segments(first: 1) { pageInfo { endCursor } }
        segment(key: "all") { members(first: 1) { pageInfo { endCursor } } } }"""
    found = await peopled.ask(ask)
    of_segments = found["segments"]["pageInfo"]["endCursor"]
    of_members = found["segment"]["members"]["pageInfo"]["endCursor"]
    before_lists_were_told_apart = "YWZ0ZXI6MQ"
    for query, after in (
        ("query($after: String) { syncs(after: $after) { totalCount } }", of_segments),
        ("query($after: String) { profiles(after: $after) { totalCount } }", of_members),
        ('query($after: String) { segment(key: "austria") { members(after: $after) { totalCount } } }', of_members),
        ("query($after: String) { segments(after: $after) { totalCount } }", before_lists_were_told_apart),
    ):
        error = await peopled.refused(query, after=after)
        assert (error["extensions"]["code"], error["extensions"]["path"]) == ("INVALID", ["after"]), query
    again = await peopled.ask("query($after: String) { segments(after: $after) { nodes { key } } }", after=of_segments)
    assert again == {"segments": {"nodes": [{"key": "austria"}]}}


async def test_an_as_of_evaluation_leaves_the_live_members_alone(peopled: Served) -> None:
    await make(peopled, "buyers", "did(purchase, last 30 days)")
    query = """mutation { segmentEvaluate(key: "buyers", asOf: "2026-01-31T00:00:00Z") {
        segment { evaluation { size asOf } members { nodes { externalId } } } errors { message } } }"""
    segment = (await peopled.ask(query))["segmentEvaluate"]["segment"]
    assert segment["evaluation"] == {"size": 1, "asOf": "2026-01-31T00:00:00+00:00"}
    assert [node["externalId"] for node in segment["members"]["nodes"]] == ["p1"]


async def test_a_preview_counts_shows_and_compares_without_saving(peopled: Served) -> None:
    await make(peopled, "austria", 'country = "AT"')
    query = """query($rule: String!) { rulePreview(rule: $rule, segment: "austria", sample: 1) {
        matchCount sample { externalId } explanation entering leaving warnings { message } errors { message } } }"""
    preview = (await peopled.ask(query, rule='country in ("AT", "DE") and ltv is known'))["rulePreview"]
    assert (preview["matchCount"], preview["entering"], preview["leaving"]) == (2, 1, 1)
    assert len(preview["sample"]) == 1 and preview["errors"] == []
    assert (await peopled.ask("{ segments { totalCount } }"))["segments"]["totalCount"] == 1


async def test_a_preview_of_a_broken_rule_answers_with_its_errors(peopled: Served) -> None:
    query = "query($rule: String!) { rulePreview(rule: $rule) { matchCount errors { code path line column } } }"
    preview = (await peopled.ask(query, rule='country = "AT" and'))["rulePreview"]
    assert preview["matchCount"] is None
    [error] = preview["errors"]
    assert (error["code"], error["path"], error["line"]) == ("RULE_SYNTAX", ["rule"], 1)


async def test_an_event_never_seen_is_a_warning(peopled: Served) -> None:
    query = '{ rulePreview(rule: "did(refund, last 7 days)") { matchCount warnings { message } errors { message } } }'
    preview = (await peopled.ask(query))["rulePreview"]
    assert preview["matchCount"] == 0 and preview["errors"] == []
    assert "refund" in preview["warnings"][0]["message"]


async def test_a_profile_says_why_it_is_in_or_out(peopled: Served) -> None:
    await make(peopled, "austria", 'country = "AT"')
    query = """query($id: String!) { profile(externalId: $id) { segments { key }
        membership(segment: "austria") { member since because } nowhere: membership(segment: "none") { member } } }"""
    inside, outside = [(await peopled.ask(query, id=who))["profile"] for who in ("p2", "p1")]
    assert inside["segments"] == [{"key": "austria"}] and outside["segments"] == []
    assert inside["membership"]["member"] and inside["membership"]["since"]
    assert not outside["membership"]["member"] and outside["membership"]["since"] is None
    assert isinstance(inside["membership"]["because"], dict) and inside["nowhere"] is None


async def test_a_deleted_segment_is_gone_and_its_last_words_are_in_the_payload(peopled: Served) -> None:
    segment = await make(peopled, "austria", 'country = "AT"')
    deleted = await peopled.ask('mutation { segmentDelete(key: "austria") { segment { key } errors { code } } }')
    assert deleted["segmentDelete"] == {"segment": {"key": "austria"}, "errors": []}
    gone = await peopled.ask(
        'query($id: ID!) { segment(key: "austria") { key } node(id: $id) { id } }', id=segment["id"]
    )
    assert gone == {"segment": None, "node": None}


async def test_the_same_file_again_changes_nothing(peopled: Served) -> None:
    again = (await peopled.take_in("profiles", PEOPLE)).json()
    assert (again["accepted"], again["unchanged"], again["rejected"]) == (0, 4, 0)
    events = (await peopled.take_in("events", EVENTS)).json()
    assert (events["accepted"], events["unchanged"]) == (0, 3)

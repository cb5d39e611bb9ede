"""The edges of the HTTP API: who may come in, how much at once, and what a stranger learns when something is wrong."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.acceptance.process import TOKEN, Hub

BAD = [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}"]


@pytest.mark.parametrize("header", BAD)
@pytest.mark.parametrize("route", ["/graphql", "/import/profiles", "/import/consents", "/backup"])
def test_without_a_good_token_nothing_is_answered(hub: Hub, route: str, header: str | None) -> None:
    headers = {"Content-Type": "application/json", **({"Authorization": header} if header is not None else {})}
    answer = httpx.post(hub.url + route, content=b'{"query": "{ __typename }"}', headers=headers, trust_env=False)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["errors"][0]["message"]
    assert "data" not in answer.json()


def test_the_scheme_of_a_token_is_case_insensitive(hub: Hub) -> None:
    answer = hub.client.post("/graphql", json={"query": "{ __typename }"}, headers={"Authorization": f"bearer {TOKEN}"})
    assert answer.json() == {"data": {"__typename": "Query"}}


def code_of(errors: list[dict[str, Any]]) -> str:
    assert errors
    return errors[0]["extensions"]["code"]


@pytest.mark.parametrize(
    "query",
    [
        "{ segments { nodes { syncs { segment { syncs { segment { syncs { segment { syncs { segment { syncs "
        "{ segment { syncs { segment { key } } } } } } } } } } } } } } }",
        "{ " + " ".join(f"a{n}: traits {{ name }}" for n in range(40)) + " }",
        "{ " + "traits { name } " * 600 + "}",
        "{ profiles(first: 101) { totalCount } }",
        "{ segments(first: 100) { nodes { members(first: 100) { nodes { segments { members(first: 100) "
        "{ nodes { id } } } } } } } }",
        "{ a" + "{ a" * 200 + " }" * 201,
        "{ traits " + "@include(if: true) " * 60 + "{ name } }",
    ],
)
def test_a_query_that_asks_for_too_much_is_refused_before_it_is_looked_at(hub: Hub, query: str) -> None:
    answer = hub.client.post("/graphql", json={"query": query})
    said = answer.json()
    assert not said.get("data")
    assert code_of(said["errors"]) == "LIMIT"


@pytest.mark.parametrize("first", [101, 10**9, -1, 0])
def test_a_page_has_a_size_also_when_it_comes_as_a_variable(hub: Hub, first: int) -> None:
    errors = hub.errors("query($n: Int) { profiles(first: $n) { nodes { id } } }", n=first)
    if first == 0:
        assert errors == [] or code_of(errors) in {"INVALID", "LIMIT"}
    else:
        assert code_of(errors) in {"INVALID", "LIMIT"}


def test_a_body_has_a_largest_size(hub: Hub) -> None:
    answer = hub.client.post("/graphql", json={"query": "{ __typename }", "variables": {"x": "y" * 300_000}})
    assert answer.status_code == 413
    assert answer.json()["errors"][0]["code"] == "LIMIT"


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"not json", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'[{"query": "{ __typename }"}]', "application/json", 400),
        (b'{"query": 3}', "application/json", 400),
        (b'{"query": "{ __typename }", "variables": []}', "application/json", 400),
        (b'{"query": "{ __typename }"}', "text/plain", 415),
        (b"query={__typename}", "application/x-www-form-urlencoded", 415),
        (b'{"query": "subscription { runProgress(id: 1) { id } }"}', "application/json", 400),
    ],
)
def test_what_is_no_graphql_request_is_refused_in_words(
    hub: Hub, content: bytes, content_type: str, status: int
) -> None:
    answer = hub.client.post("/graphql", content=content, headers={"Content-Type": content_type})
    assert answer.status_code == status
    assert answer.json()["errors"][0]["message"]


def test_a_query_by_get_is_not_carried_out(hub: Hub) -> None:
    answer = hub.client.get("/graphql", params={"query": "{ __typename }"}, headers={"Accept": "application/json"})
    assert "__typename" not in answer.text.replace("{ __typename }", "")
    assert answer.headers["content-type"].startswith("text/html") or answer.status_code in {400, 405, 406, 415}


def test_graphiql_is_served_to_a_browser_from_here(hub: Hub) -> None:
    page = httpx.get(f"{hub.url}/graphql", headers={"Accept": "text/html"}, trust_env=False)
    assert page.status_code == 200
    assert "graphiql" in page.text.lower()
    assert "content-security-policy" in page.headers
    assert "unpkg" not in page.text
    assert "jsdelivr" not in page.text


@pytest.mark.parametrize(
    "query",
    [
        "{",
        "{ nope }",
        "{ segment { key } }",
        "mutation { segmentCreate(input: {key: 3}) { errors { message } } }",
        "query($a: Int) { profiles(first: $a) { totalCount } }",
    ],
)
def test_a_wrong_query_is_answered_in_words_with_a_code(hub: Hub, query: str) -> None:
    said = hub.post(query, a="yesterday").json()
    assert code_of(said["errors"]) == "INVALID"
    assert "Traceback" not in json.dumps(said)
    assert "hub/" not in json.dumps(said)


@pytest.mark.parametrize("text", ["a\x00b", "half \ud800 pair"])
def test_text_that_no_store_can_keep_is_refused(hub: Hub, text: str) -> None:
    body = json.dumps(
        {
            "query": 'mutation($n: String!) { purposeCreate(input: {key: "nul", name: $n}) '
            "{ purpose { id } errors { code } } }",
            "variables": {"n": text},
        }
    )
    answer = hub.client.post("/graphql", content=body.encode(), headers={"Content-Type": "application/json"})
    assert answer.status_code in {200, 400}
    assert "Something went wrong" not in answer.text
    assert not (answer.json().get("data") or {}).get("purposeCreate", {}).get("purpose")


def test_odd_arguments_never_meet_an_unexpected_error(hub: Hub) -> None:
    hub.people([{"id": "odd"}])
    hub.create("segment", key="odd", rule="everyone")
    odd = ["", "💥", "x" * 3000, "'; drop table profiles; --", "../../etc/passwd %s {{7*7}}"]
    for value in odd:
        for query in (
            "query($v: String!) { segment(key: $v) { id } }",
            "query($v: String!) { profile(externalId: $v) { id } }",
            "query($v: String!) { profilesByIdentifier(kind: $v, value: $v) { id } }",
            'query($v: String!) { profile(externalId: "odd") { membership(segment: $v) { member } } }',
            "query($v: String!) { rulePreview(rule: $v) { matchCount errors { code } } }",
            "query($v: String!) { syncPreview(sync: $v) { errors { code } } }",
            "query($v: String!) { profiles(after: $v) { nodes { id } } }",
            "mutation($v: String!) { segmentDelete(key: $v) { errors { code } } }",
            "mutation($v: String!) { segmentCreate(input: {key: $v, name: $v, rule: $v}) { errors { code } } }",
            "mutation($v: String!) { writeKeyCreate(name: $v) { errors { code } } }",
        ):
            answer = hub.post(query, v=value)
            assert answer.status_code == 200, (query, value)
            assert "INTERNAL" not in answer.text, (query, value, answer.text)


@pytest.mark.parametrize("as_of", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2025-01-01", "2025-01-01T00:00:00"])
def test_the_edges_of_time_are_answered(hub: Hub, as_of: str) -> None:
    for rule in ("did(any event, last 90 days)", "everyone"):
        answer = hub.post(
            "query($r: String!, $a: DateTime) { rulePreview(rule: $r, asOf: $a) { matchCount errors { code } } }",
            r=rule,
            a=as_of,
        )
        assert "INTERNAL" not in answer.text


def test_pages_follow_one_another_without_gap_or_repeat(hub: Hub) -> None:
    hub.people([{"id": f"page-{n:03}", "paged": True} for n in range(25)])
    hub.create("segment", key="paged", rule="paged")
    asked = (
        'query($n: Int, $a: String) { segment(key: "paged") { members(first: $n, after: $a) { totalCount '
        "nodes { externalId } edges { cursor node { externalId } } pageInfo { hasNextPage endCursor } } } }"
    )
    seen: list[str] = []
    after = None
    while True:
        page = hub.ask(asked, n=10, a=after)["segment"]["members"]
        assert page["totalCount"] == 25
        assert [edge["node"] for edge in page["edges"]] == page["nodes"]
        seen += [one["externalId"] for one in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        assert page["edges"][-1]["cursor"] == after
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert seen == sorted(set(seen))
    assert len(seen) == 25
    wrong = hub.errors(asked, n=10, a="nonsense")
    assert code_of(wrong) == "INVALID"


def test_segments_and_syncs_and_profiles_are_connections(hub: Hub) -> None:
    for field in ("profiles", "segments", "syncs"):
        found = hub.ask(
            f"{{ {field}(first: 1) {{ totalCount edges {{ cursor node {{ id }} }} nodes {{ id }} "
            "pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"
        )[field]
        assert len(found["nodes"]) == min(1, found["totalCount"])


def test_write_keys_are_shown_once_and_revoked(hub: Hub) -> None:
    made = hub.do("writeKeyCreate", "$name: String!", "writeKey { id name createdAt lastUsedAt } secret", name="site")
    assert made["errors"] == []
    assert len(made["secret"]) >= 20
    listed = hub.post("{ writeKeys { id name createdAt lastUsedAt } }").text
    assert made["writeKey"]["id"] in listed
    assert made["secret"] not in listed
    revoked = hub.do("writeKeyRevoke", "$id: ID!", "writeKey { id } secret", id=made["writeKey"]["id"])
    assert (revoked["errors"], revoked["secret"]) == ([], None)
    assert made["writeKey"]["id"] not in hub.post("{ writeKeys { id } }").text
    again = hub.do("writeKeyRevoke", "$id: ID!", "writeKey { id }", id="nonsense")
    assert again["errors"][0]["code"] == "NOT_FOUND"


def test_an_answer_carries_an_id_and_careful_headers(hub: Hub) -> None:
    answer = hub.client.get("/healthz", headers={"X-Request-ID": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.headers["x-content-type-options"] == "nosniff"
    other = hub.client.get("/healthz", headers={"X-Request-ID": "a b\tc"})
    assert other.headers["x-request-id"] not in {"", "a b\tc"}
    assert hub.client.get("/nowhere").status_code == 404
    assert hub.client.request("DELETE", "/graphql").status_code == 405


def test_every_part_of_the_schema_says_what_it_is(hub: Hub) -> None:
    kinds = hub.ask(
        "{ __schema { types { name kind description fields(includeDeprecated: true) { name description } } } }"
    )["__schema"]["types"]
    mute = [kind["name"] for kind in kinds if not kind["description"] and not kind["name"].startswith("__")]
    assert mute == []


def test_a_time_that_is_none_is_refused_with_its_place(hub: Hub) -> None:
    said = hub.post(
        'query($a: DateTime) { rulePreview(rule: "everyone", asOf: $a) { matchCount errors { code path } } }',
        a="yesterday",
    ).json()
    if "errors" in said:
        assert code_of(said["errors"]) == "INVALID"
    else:
        assert said["data"]["rulePreview"] == {"matchCount": None, "errors": [{"code": "INVALID", "path": ["asOf"]}]}

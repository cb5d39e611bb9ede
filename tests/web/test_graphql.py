from __future__ import annotations

from typing import Any

import httpx
import pytest

from hub.errors import ErrorCode, refuse
from hub.warehouse import catalogue
from tests.web.served import Served

JSON = {"Content-Type": "application/json"}


async def status(answering: Any) -> tuple[int, str]:
    answer: httpx.Response = await answering
    return answer.status_code, answer.json()["errors"][0]["code"]


NO_QUERIES = [
    b"",
    b"{",
    b"\xff\xfe",
    b'{"query": "{ traits { name } }", "variables": {"a": "\xc3"}}',
    b'{"query": "\\ud800"}',
    b"[" * 100_000,
    b"null",
    b"[]",
    b'{"query": 5}',
    b'{"query": ""}',
    b'{"query": "{ traits { name } }", "variables": []}',
    b'{"query": "{ traits { name } }", "operationName": 1}',
    b'[{"query": "{ traits { name } }"}, {"query": "{ traits { name } }"}]',
]


async def test_a_body_that_is_no_query_is_refused(web: Served) -> None:
    for body in NO_QUERIES:
        assert await status(web.client.post("/graphql", content=body, headers=JSON)) == (400, "INVALID"), body[:60]


async def test_a_body_larger_than_256_kib_is_refused(web: Served) -> None:
    body = b'{"query": "' + b" " * 262_144 + b'"}'
    assert await status(web.client.post("/graphql", content=body, headers=JSON)) == (413, "LIMIT")

    async def in_parts() -> Any:
        for _ in range(300):
            yield b" " * 1024

    assert await status(web.client.post("/graphql", content=in_parts(), headers=JSON)) == (413, "LIMIT")


async def test_only_json_is_read(web: Served) -> None:
    body = b'{"query": "{ purposes { key } }"}'
    for kind in ("text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", ""):
        asked = web.client.post("/graphql", content=body, headers={"Content-Type": kind})
        assert await status(asked) == (415, "UNSUPPORTED"), kind


async def test_queries_do_not_go_by_get(web: Served) -> None:
    asked = web.client.get("/graphql", params={"query": "{ purposes { key } }"}, headers={"Accept": "text/html"})
    assert await status(asked) == (405, "UNSUPPORTED")
    assert await status(web.client.get("/graphql")) == (405, "UNSUPPORTED")


async def test_a_subscription_does_not_go_by_post(web: Served) -> None:
    query = 'subscription { runProgress(id: "x") { id } }'
    assert await status(web.client.post("/graphql", json={"query": query})) == (400, "UNSUPPORTED")


async def test_of_several_operations_one_must_be_named(web: Served) -> None:
    query = "query A { purposes { key } } query B { traits { name } }"
    assert "operationName" in (await web.refused(query))["message"]
    assert await status(web.client.post("/graphql", json={"query": query, "operationName": "C"})) == (400, "INVALID")
    named = await web.client.post("/graphql", json={"query": query, "operationName": "A"})
    assert named.json() == {"data": {"purposes": []}}


async def test_a_query_with_a_mistake_says_where(web: Served) -> None:
    error = await web.refused("{ purposes { keys } }")
    assert error["extensions"]["code"] == "INVALID"
    assert error["locations"] == [{"line": 1, "column": 14}]


async def test_what_nobody_expected_is_masked_behind_a_request_id(
    web: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: object) -> Any:
        raise RuntimeError("ann@example.com")

    monkeypatch.setattr(catalogue, "traits", broken)
    asked = {"query": "{ traits { name } }"}
    answer = await web.client.post("/graphql", json=asked, headers={"X-Request-ID": "find-me"})
    [error] = answer.json()["errors"]
    assert error["extensions"] == {"code": "INTERNAL", "requestId": "find-me"}
    logged = capsys.readouterr()
    assert "find-me" in logged.out + logged.err
    assert "ann@example.com" not in answer.text + logged.out + logged.err


async def test_a_refusal_outside_a_payload_keeps_its_words(web: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: object) -> Any:
        raise refuse(ErrorCode.POLICY, "Not today.", "somewhere", suggestion="tomorrow")

    monkeypatch.setattr(catalogue, "traits", refused)
    error = await web.refused("{ traits { name } }")
    assert error["message"] == "Not today."
    assert error["extensions"] == {"code": "POLICY", "path": ["somewhere"], "suggestion": "tomorrow"}


async def test_graphiql_is_served_whole_from_here_and_only_to_a_browser(web: Served) -> None:
    web.client.headers.pop("authorization")
    page = await web.client.get("/graphql", headers={"Accept": "text/html,application/xhtml+xml"})
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "script-src 'self';" in policy and "unsafe-eval" not in policy
    assert "http:" not in page.text and "https:" not in page.text
    parts = [part.split('"')[0] for part in page.text.split('="/graphql/console/')[1:]]
    assert len(parts) == 5
    for part in parts:
        answer = await web.client.get(f"/graphql/console/{part}")
        assert answer.status_code == 200 and len(answer.content) > 500, part


@pytest.mark.parametrize("name", ["index.html", "LICENSES", "..%2Fapp.py", "%2e%2e/app.py", "nothing.js"])
async def test_nothing_else_of_that_folder_is_served(web: Served, name: str) -> None:
    assert (await web.client.get(f"/graphql/console/{name}")).status_code == 404

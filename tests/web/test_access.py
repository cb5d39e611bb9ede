from __future__ import annotations

import httpx
import pytest

from hub.errors import StoreError
from hub.services import access
from hub.web.app import create_app
from tests.web.served import Served

QUERY = {"query": "{ purposes { key } }"}
CLOSED = ["/graphql", "/import/profiles"]


async def without_token(web: Served, path: str, **headers: str) -> httpx.Response:
    web.client.headers.pop("authorization", None)
    return await web.client.post(path, json=QUERY, headers=headers)


@pytest.mark.parametrize("path", CLOSED)
async def test_without_a_token_nobody_comes_in(web: Served, path: str) -> None:
    answer = await without_token(web, path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    [error] = answer.json()["errors"]
    assert error["code"] == "FORBIDDEN" and "Authorization: Bearer" in error["message"]


@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize(
    "shown", ["Bearer s3cret-guess", "Bearer ", "Basic aHViOmh1Yg==", "Bearer " + "x" * 10_000, "hub"]
)
async def test_with_a_wrong_token_nobody_comes_in(web: Served, path: str, shown: str) -> None:
    answer = await without_token(web, path, Authorization=shown)
    assert answer.status_code == 401
    assert "error=" in answer.headers["www-authenticate"]
    assert "s3cret-guess" not in answer.text


async def test_the_scheme_is_read_in_any_case(web: Served) -> None:
    assert (await without_token(web, "/graphql", Authorization=f"bearer {web.token}")).status_code == 200


async def test_a_rotated_token_is_refused_and_the_new_one_is_good(web: Served) -> None:
    fresh = await access.rotate_token(web.hub)
    assert (await web.client.post("/graphql", json=QUERY)).status_code == 401
    assert (await without_token(web, "/graphql", Authorization=f"Bearer {fresh}")).status_code == 200


async def test_the_token_of_the_command_line_is_good_only_where_it_was_given(web: Served) -> None:
    local = "of-this-process-only-0123456789"
    transport = httpx.ASGITransport(create_app(web.hub, local_token=local))
    async with httpx.AsyncClient(transport=transport, base_url="http://hub.test") as client:
        assert (
            await client.post("/graphql", json=QUERY, headers={"Authorization": f"Bearer {local}"})
        ).status_code == 200
    assert (await without_token(web, "/graphql", Authorization=f"Bearer {local}")).status_code == 401


async def test_health_needs_no_token_and_tells_nothing_more(web: Served) -> None:
    web.client.headers.pop("authorization")
    assert (await web.client.get("/healthz")).json() == {"status": "alive"}
    ready = await web.client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {"status": "ready", "checks": {"control_plane": True, "data_plane": True, "worker": True}}


async def test_a_hub_whose_store_does_not_answer_is_not_ready(web: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: object) -> int:
        raise RuntimeError("gone")

    monkeypatch.setattr(type(web.hub.store.ledger), "head", broken)
    answer = await web.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["control_plane"] is False


async def test_a_hub_whose_store_takes_no_writes_says_which_and_what_to_do(
    web: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: object) -> None:
        raise StoreError("The disk failed (EIO).")

    monkeypatch.setattr("hub.services.ground.try_writing", failing)
    answer = await web.client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "degraded")
    assert list(answer.json()["degraded"]) == ["data_plane"]
    assert "see to its disk" in answer.json()["degraded"]["data_plane"]


async def test_metrics_need_a_token_from_elsewhere_and_none_from_here(web: Served) -> None:
    assert "hub_http_requests_total" in (await web.client.get("/metrics")).text
    web.client.headers.pop("authorization")
    assert (await web.client.get("/metrics")).status_code == 401
    local = httpx.ASGITransport(create_app(web.hub), client=("127.0.0.1", 5))
    async with httpx.AsyncClient(transport=local, base_url="http://hub.test") as client:
        assert (await client.get("/metrics")).status_code == 200
        assert (await client.get("/metrics", headers={"X-Forwarded-For": "192.0.2.1"})).status_code == 401


async def test_every_answer_has_a_request_id_and_careful_headers(web: Served) -> None:
    for path in ("/healthz", "/graphql", "/nowhere"):
        answer = await web.client.get(path)
        assert answer.headers["x-request-id"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_a_callers_request_id_is_kept_unless_it_could_break_a_log(web: Served) -> None:
    kept = await web.client.get("/healthz", headers={"X-Request-ID": "abc-123"})
    assert kept.headers["x-request-id"] == "abc-123"
    replaced = await web.client.get("/healthz", headers={"X-Request-ID": 'a" b'})
    assert replaced.headers["x-request-id"] != 'a" b'


async def test_what_is_not_there_is_said_in_json(web: Served) -> None:
    answer = await web.client.get("/nowhere")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "NOT_FOUND")
    answer = await web.client.put("/graphql")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (405, "UNSUPPORTED")

"""Destinations and connectors as the API shows them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import ClassVar

import pytest

from connectors.sandbox import Sandbox, SandboxConfig
from hub.plugins import Registry
from hub.sdk import ApiVersion
from tests.services.opened import TestClock
from tests.web.served import Served


class DatedConfig(SandboxConfig):
    api_version: str = "2026-01"


class Dated(Sandbox):
    key = "dated"
    Config = DatedConfig
    scopes = ("contacts.read", "contacts.write")
    versions: ClassVar = (ApiVersion("2025-07", date(2026, 6, 30)), ApiVersion("2026-01", date(2027, 1, 31)))


@pytest.fixture
async def dated(web: Served) -> AsyncIterator[Served]:
    web.hub.registry = Registry({**web.hub.registry.connectors, "dated": Dated}, {})
    yield web


async def made(web: Served, **config: str) -> None:
    given = {"key": "d", "name": "D", "connector": "dated", "config": config}
    create = "mutation($in: DestinationCreateInput!) { destinationCreate(input: $in) { errors { message } } }"
    assert (await web.ask(create, **{"in": given}))["destinationCreate"]["errors"] == []


async def shown(web: Served) -> dict:
    chosen = "destination { apiVersion { name until } warnings { code message path } } errors { message }"
    return (await web.ask(f'mutation {{ destinationCheck(key: "d") {{ {chosen} }} }}'))["destinationCheck"][
        "destination"
    ]


async def test_a_connector_says_what_it_needs_and_which_versions_it_knows(dated: Served) -> None:
    found = (await dated.ask("{ connectors { key scopes versions { name until } capabilities } }"))["connectors"]
    by_key = {one["key"]: one for one in found}
    assert by_key["dated"]["scopes"] == ["contacts.read", "contacts.write"]
    assert by_key["dated"]["versions"] == [
        {"name": "2025-07", "until": "2026-06-30"},
        {"name": "2026-01", "until": "2027-01-31"},
    ]
    assert by_key["sandbox"]["versions"] == []
    assert {"feedback", "erase", "identifiers", "least_audience"} <= by_key["sandbox"]["capabilities"].keys()


async def test_without_a_setting_the_connectors_default_is_used(dated: Served) -> None:
    await made(dated)
    assert await shown(dated) == {"apiVersion": {"name": "2026-01", "until": "2027-01-31"}, "warnings": []}


@pytest.mark.parametrize(
    ("today", "code"),
    [
        (datetime(2026, 4, 30, tzinfo=UTC), None),
        (datetime(2026, 5, 1, tzinfo=UTC), "POLICY"),
        (datetime(2026, 6, 30, 23, tzinfo=UTC), "POLICY"),
        (datetime(2026, 7, 1, tzinfo=UTC), "UNSUPPORTED"),
    ],
)
async def test_the_admin_is_told_in_time_when_a_version_lapses(
    dated: Served, clock: TestClock, today: datetime, code: str | None
) -> None:
    await made(dated, api_version="2025-07")
    clock.at = today
    found = await shown(dated)
    assert found["apiVersion"] == {"name": "2025-07", "until": "2026-06-30"}
    assert [one["code"] for one in found["warnings"]] == ([code] if code else [])
    assert all("2026-06-30" in one["message"] for one in found["warnings"])


async def test_a_version_nobody_has_tested_has_a_name_only(dated: Served) -> None:
    await made(dated, api_version="2031-01")
    assert await shown(dated) == {"apiVersion": {"name": "2031-01", "until": None}, "warnings": []}


async def test_where_versions_are_not_dated_there_is_none(web: Served) -> None:
    await web.hub.store.destinations.create(key="d", name="D", connector="sandbox", config={}, secrets={})
    assert await shown(web) == {"apiVersion": None, "warnings": []}
    await web.hub.store.destinations.create(key="gone", name="D", connector="gone", config={}, secrets={})
    found = await web.ask('{ destination(key: "gone") { apiVersion { name } warnings { code } connector { scopes } } }')
    assert found["destination"] == {"apiVersion": None, "warnings": [], "connector": {"scopes": []}}

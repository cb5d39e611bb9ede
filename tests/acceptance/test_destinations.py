"""Destinations: configured, checked, rested, deleted; their secrets never come back, and no address leads inside."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.acceptance.process import Hub, until
from tests.acceptance.sink import SECRET, Sink

SHOWN = "destination { id key name config version paused pausedReason { code message path } connector { key } }"


def act(hub: Hub, mutation: str, key: str) -> dict[str, Any]:
    return hub.do(mutation, "$key: String!", SHOWN, key=key)


def create(hub: Hub, key: str, connector: str, config: Any) -> dict[str, Any]:
    given = {"key": key, "name": key, "connector": connector, "config": config}
    return hub.do("destinationCreate", "$input: DestinationCreateInput!", SHOWN, input=given)


def update(hub: Hub, key: str, **given: Any) -> dict[str, Any]:
    signature = "$key: String!, $input: DestinationUpdateInput!"
    return hub.do("destinationUpdate", signature, SHOWN, key=key, input=given)


def test_the_connectors_are_listed_with_what_they_need(hub: Hub) -> None:
    found = hub.ask("{ connectors { key title channel configSchema capabilities } }")["connectors"]
    by_key = {one["key"]: one for one in found}
    assert {"sandbox", "webhook", "file", "mailchimp", "onesignal"} <= set(by_key)
    assert by_key["mailchimp"]["channel"] == "EMAIL"
    assert by_key["onesignal"]["channel"] in {"PUSH", "EMAIL"}
    schema = by_key["webhook"]["configSchema"]
    assert set(schema["required"]) == {"url", "secret"}
    assert schema["properties"]["secret"]["writeOnly"] is True
    assert {"batch", "headers", "concurrency"} <= set(schema["properties"])


def test_an_unknown_connector_is_refused_with_the_one_that_was_meant(hub: Hub) -> None:
    error = create(hub, "x", "webhok", {})["errors"][0]
    assert (error["code"], error["path"], error["suggestion"]) == ("NOT_FOUND", ["input", "connector"], "webhook")


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"secret": SECRET}, ["input", "config", "url"]),
        ({"url": "https://example.com", "secret": "plain"}, ["input", "config", "secret"]),
        ({"url": "https://example.com", "secret": "whsec_c2hvcnQ="}, ["input", "config", "secret"]),
        ({"url": "https://example.com", "secret": SECRET, "batch": 1001}, ["input", "config", "batch"]),
        ({"url": "https://example.com", "secret": SECRET, "batch": 0}, ["input", "config", "batch"]),
        ({"url": "https://example.com", "secret": SECRET, "concurrency": 9}, ["input", "config", "concurrency"]),
        ({"url": "https://example.com", "secret": SECRET, "ulr": "x"}, ["input", "config", "ulr"]),
        (
            {"url": "https://example.com", "secret": SECRET, "headers": {"webhook-id": "x"}},
            ["input", "config", "headers"],
        ),
        (
            {"url": "https://example.com", "secret": SECRET, "headers": {"X": "a\r\nb: c"}},
            ["input", "config", "headers"],
        ),
        ([], ["input", "config"]),
        ("text", ["input", "config"]),
        (None, None),
    ],
)
def test_a_config_that_fails_its_schema_is_refused_with_its_path(hub: Hub, config: Any, path: list[str] | None) -> None:
    answer = hub.post(
        f'mutation($config: JSON!) {{ destinationCreate(input: {{key: "bad", name: "b", connector: "webhook", '
        f"config: $config}}) {{ {SHOWN} errors {{ code path message }} }} }}",
        config=config,
    ).json()
    assert SECRET not in json.dumps(answer)
    if path is None:
        assert answer["errors"]
        return
    payload = answer["data"]["destinationCreate"]
    assert payload["destination"] is None
    assert [payload["errors"][0]["code"], payload["errors"][0]["path"][: len(path)]] == ["INVALID", path]
    assert "plain" not in payload["errors"][0]["message"].split()
    assert hub.ask('{ destination(key: "bad") { id } }')["destination"] is None


def test_a_secret_is_never_returned(hub: Hub, sink: Sink) -> None:
    config = {**sink.config, "headers": {"X-Gate": "canary-header-value"}}
    made = create(hub, "secretive", "webhook", config)["destination"]
    assert made["config"]["url"] == sink.url
    assert "secret" not in made["config"]
    everything = hub.post(
        "query($id: ID!) { node(id: $id) { ... on Destination { config } } "
        'destination(key: "secretive") { config name } destinations { config } }',
        id=made["id"],
    ).text
    for hidden in (SECRET, SECRET[6:], "canary-header-value"):
        assert hidden not in everything + json.dumps(made)
    wrong = update(hub, "secretive", config={"secret": "whsec_canary-is-no-base64"})
    assert "canary" not in json.dumps(wrong)
    assert act(hub, "destinationCheck", "secretive")["errors"] == []
    assert SECRET[6:] not in hub.log.read_text()


def test_a_config_merges_by_key_and_a_secret_left_out_stays(hub: Hub, sink: Sink) -> None:
    first = create(hub, "merging", "webhook", {**sink.config, "batch": 10})["destination"]
    changed = update(hub, "merging", name="Renamed", config={"batch": 20}, ifVersion=first["version"])["destination"]
    assert (changed["name"], changed["config"]) == ("Renamed", {"url": sink.url, "batch": 20})
    assert update(hub, "merging", config={"batch": None})["destination"]["config"] == {"url": sink.url}
    assert update(hub, "merging", name="x", ifVersion=first["version"])["errors"][0]["code"] == "CONFLICT"
    assert update(hub, "merging", config={"secret": None})["errors"][0]["path"] == ["input", "config", "secret"]
    assert act(hub, "destinationCheck", "merging")["errors"] == []


INSIDE = [
    "https://127.0.0.1/x",
    "https://127.1/x",
    "https://0.0.0.0/x",
    "https://localhost/x",
    "https://localhost./x",
    "https://[::1]/x",
    "https://[::ffff:127.0.0.1]/x",
    "https://[::]/x",
    "https://169.254.169.254/latest/meta-data",
    "https://[fd00::1]/x",
    "https://[fe80::1]/x",
    "https://100.64.0.1/x",
    "https://10.0.0.8/x",
    "https://192.168.1.1/x",
    "https://172.16.0.1/x",
    "https://2130706433/x",
    "https://0177.0.0.1/x",
    "https://0x7f000001/x",
    "https://0x7f.1/x",
    "https://127.0.0.1./x",
    "https://①②⑦.⓪.⓪.①/x",
    "http://93.184.215.14/x",
    "https://93.184.215.14:22/x",
    "https://93.184.215.14:6379/x",
    "https://user:canary@93.184.215.14/x",
    "https://user@127.0.0.1/x",
    "file:///etc/passwd",
    "ftp://93.184.215.14/x",
    "gopher://93.184.215.14/x",
    "unix:///var/run/docker.sock",
    "https:///x",
    "//93.184.215.14/x",
]


@pytest.mark.parametrize("url", INSIDE)
def test_an_address_that_leads_inside_is_denied_on_create_and_update(hub: Hub, sink: Sink, url: str) -> None:
    made = create(hub, "inside", "webhook", {**sink.config, "url": url})
    assert made["destination"] is None, url
    error = made["errors"][0]
    assert (error["code"], error["path"]) == ("EGRESS_DENIED", ["input", "config", "url"])
    assert "canary" not in error["message"]


def test_only_the_very_host_and_port_of_the_operators_list_opens(hub: Hub, sink: Sink) -> None:
    assert create(hub, "listed", "webhook", sink.config)["errors"] == []
    for url in (
        f"http://127.0.0.1:{sink.port + 1}/audience",
        f"http://localhost.:{sink.port}/",
        f"http://user:canary@127.0.0.1:{sink.port}/",
    ):
        changed = update(hub, "listed", config={"url": url})
        assert [error["code"] for error in changed["errors"]] == ["EGRESS_DENIED"], url
        assert "canary" not in json.dumps(changed)
    kept = hub.ask('{ destination(key: "listed") { config } }')["destination"]
    assert kept["config"]["url"] == sink.url


def test_a_check_says_who_does_not_answer_and_who_does_not_let_us_in(hub: Hub) -> None:
    create(hub, "locked", "sandbox", {"account": "locked", "locked": True})
    error = act(hub, "destinationCheck", "locked")["errors"][0]
    assert (error["code"], error["path"]) == ("DESTINATION_AUTH", ["key"])
    missing = act(hub, "destinationCheck", "lockd")["errors"][0]
    assert (missing["code"], missing["suggestion"]) == ("NOT_FOUND", "locked")


def test_a_taken_key_and_a_key_that_is_no_slug_are_refused(hub: Hub) -> None:
    create(hub, "taken", "sandbox", {})
    assert create(hub, "taken", "sandbox", {})["errors"][0]["code"] == "CONFLICT"
    assert create(hub, "taken", "sandbox", {})["errors"][0]["path"] == ["input", "key"]
    assert create(hub, "No Slug", "sandbox", {})["errors"][0]["path"] == ["input", "key"]


def test_a_destination_rests_and_is_taken_up_again(hub: Hub, sink: Sink) -> None:
    create(hub, "resting", "webhook", sink.config)
    hub.people([{"id": "r1"}])
    hub.create("purpose", key="rest", name="Rest")
    hub.grant("rest", "r1")
    hub.create("segment", key="rest", rule="everyone")
    hub.create("sync", key="rest", segment="rest", destination="resting", audience="rest", purposes=["rest"])
    paused = act(hub, "destinationPause", "resting")["destination"]
    assert (paused["paused"], paused["pausedReason"]) == (True, None)
    refused = hub.do("syncRun", "$key: String!", "run { id }", key="rest")
    assert (refused["run"], refused["errors"][0]["code"]) == (None, "CONFLICT")
    assert act(hub, "destinationResume", "resting")["destination"]["paused"] is False
    assert hub.run("rest")["status"] == "SUCCEEDED"
    assert sink.held("rest") == {"r1"}


def test_a_destination_with_syncs_is_not_deleted(hub: Hub, sink: Sink) -> None:
    create(hub, "used", "webhook", sink.config)
    hub.create("purpose", key="used", name="Used")
    hub.create("segment", key="used", rule="everyone")
    hub.create("sync", key="uses-it", segment="used", destination="used", audience="used", purposes=["used"])
    refused = act(hub, "destinationDelete", "used")["errors"][0]
    assert refused["code"] == "CONFLICT"
    assert "uses-it" in refused["message"]
    assert hub.do("syncDelete", "$key: String!", "sync { key }", key="uses-it")["errors"] == []
    assert act(hub, "destinationDelete", "used")["destination"]["key"] == "used"
    assert hub.ask('{ destination(key: "used") { id } }')["destination"] is None


def test_a_vendor_that_turns_us_away_pauses_the_destination_with_its_reason(hub: Hub, sink: Sink) -> None:
    create(hub, "away", "webhook", sink.config)
    hub.people([{"id": "w1"}])
    hub.create("purpose", key="away", name="Away")
    hub.grant("away", "w1")
    hub.create("segment", key="away", rule="everyone")
    hub.create("sync", key="away", segment="away", destination="away", audience="away", purposes=["away"])
    sink.answers.append((401, b"no", {}))
    run = hub.start("away")
    found = until(
        lambda: (
            next(
                one
                for one in hub.ask("{ destinations { key paused pausedReason { code message } } }")["destinations"]
                if one["key"] == "away"
            )
            if hub.ask('{ destination(key: "away") { paused } }')["destination"]["paused"]
            else None
        )
    )
    assert found["pausedReason"]["code"] == "DESTINATION_AUTH"
    assert sink.held("away") == set()
    assert act(hub, "destinationResume", "away")["errors"] == []
    if hub.ended(run["id"])["status"] == "FAILED":
        assert hub.run("away")["status"] == "SUCCEEDED"
    assert sink.held("away") == {"w1"}

"""What a file of events does to what is known of what people did."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.records import TraitType
from hub.warehouse import catalogue, consent, events
from tests.searching import search
from tests.warehouse.importing import Plane, as_csv, as_ndjson, plane
from tests.warehouse.planes import BOTH


@pytest.fixture(params=BOTH)
def hub(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Plane]:
    with plane(tmp_path, request.param) as opened:
        yield opened


def stored(hub: Plane) -> list[tuple[Any, ...]]:
    sql = "SELECT p.external_id, e.ts, e.name, e.event_id FROM events e JOIN profiles p ON p.pid = e.pid"
    return hub.engine.rows(f"{sql} ORDER BY 1, 2, 3, 4")


def test_an_event_belongs_to_its_person_at_its_instant(hub: Plane) -> None:
    hub.profiles("id\np1\n")
    report = hub.events("id,profile_id,ts,name,value\ne1,p1,2024-01-31T10:00:00+02:00,purchase,9.5\n")
    assert report.accepted == 1
    assert stored(hub) == [("p1", datetime(2024, 1, 31, 8), "purchase", "e1")]
    [(pid,)] = hub.engine.rows("SELECT pid FROM profiles")
    at = datetime(2024, 1, 31, 8, tzinfo=UTC)
    assert events.of_person(hub.engine, pid) == [{"name": "purchase", "ts": at, "properties": {"value": 9.5}}]


def test_an_event_of_somebody_unknown_makes_a_profile(hub: Plane) -> None:
    hub.profiles("id\np1\n")
    before = consent.watermark(hub.engine).generation
    hub.events("profile_id,ts,name\np1,2024-01-01,seen\np2,2024-01-01,seen\np2,2024-01-02,seen\n")
    assert hub.people() == {"p1": {}, "p2": {}}
    assert len(stored(hub)) == 3
    assert consent.watermark(hub.engine).generation > before
    assert hub.profiles("id,age\np2,5\n").accepted == 1
    assert hub.person("p2") == {"age": 5}


def test_events_with_an_id_go_in_once(hub: Plane) -> None:
    first = "id,profile_id,ts,name\ne1,p1,2024-01-01,a\ne2,p1,2024-01-01,a\ne1,p1,2024-01-02,b\n"
    report = hub.events(first)
    assert (report.accepted, report.unchanged) == (2, 1)
    report = hub.events("id,profile_id,ts,name\ne2,p1,2024-01-01,a\ne3,p1,2024-01-01,a\n")
    assert (report.accepted, report.unchanged) == (1, 1)
    assert [(name, event_id) for _, _, name, event_id in stored(hub)] == [("a", "e1"), ("a", "e2"), ("a", "e3")]


def test_events_without_an_id_are_never_taken_for_doubles(hub: Plane) -> None:
    row = {"profile_id": "p1", "ts": "2024-01-01", "name": "a"}
    assert hub.events(as_csv([row, row])).accepted == 2
    assert hub.events(as_csv([row, row, row])).accepted == 3
    assert len(stored(hub)) == 5


def test_a_file_whose_content_was_imported_before_changes_nothing(hub: Plane) -> None:
    content = "profile_id,ts,name\np1,2024-01-01,a\np1,2024-01-01,a\np1,never,a\n"
    assert (hub.events(content).accepted, hub.events(content).accepted) == (2, 0)
    before = hub.told()
    report = hub.events(content)
    assert (report.accepted, report.unchanged, report.rejected) == (0, 2, 1)
    assert report.rejections[0].line == 4
    assert hub.told() == before


def test_the_same_bytes_read_another_way_are_another_content(hub: Plane) -> None:
    content = "profile_id,other,ts,name\np1,p2,2024-01-01,a\n"
    assert hub.events(content).accepted == 1
    assert hub.events(content, mapping={"profile_id": "payer", "other": "profile_id"}).accepted == 1
    assert {external_id for external_id, *_ in stored(hub)} == {"p1", "p2"}


def test_rows_without_person_time_or_name_are_rejected_by_line(hub: Plane) -> None:
    report = hub.events("profile_id,ts,name\np1,2024-01-01,a\n,2024-01-01,a\np1,,a\np1,2024-01-01,\np1,2024-02-30,a\n")
    assert report.accepted == 1
    assert [(one.line, one.column) for one in report.rejections] == [
        (3, "profile_id"),
        (4, "ts"),
        (5, "name"),
        (6, "ts"),
    ]


def test_properties_have_a_type_per_event_and_share_columns_where_it_agrees(hub: Plane) -> None:
    hub.events(
        "profile_id,ts,name,value,at\n"
        "p1,2024-01-01,purchase,10,\np1,2024-01-01,refund,5,\np1,2024-01-01,survey,good,2024-01-01\n"
        "p1,2024-01-01,visit,,\n"
    )
    found = {event.name: {p.name: p for p in event.properties} for event in catalogue.event_types(hub.engine)}
    assert {name: {p.name: p.type for p in of.values()} for name, of in found.items()} == {
        "purchase": {"value": TraitType.NUMBER},
        "refund": {"value": TraitType.NUMBER},
        "survey": {"value": TraitType.TEXT, "at": TraitType.DATETIME},
        "visit": {},
    }
    assert found["purchase"]["value"].column == found["refund"]["value"].column != found["survey"]["value"].column
    assert found["purchase"]["value"].known == 1
    [(pid,)] = hub.engine.rows("SELECT pid FROM profiles")
    told = [event["properties"] for event in events.of_person(hub.engine, pid)]
    assert {"value": 10.0} in told
    assert {"value": "good", "at": datetime(2024, 1, 1, tzinfo=UTC)} in told


def test_a_property_of_another_type_is_rejected_only_for_its_event(hub: Plane) -> None:
    hub.events("profile_id,ts,name,value\np1,2024-01-01,purchase,10\np1,2024-01-01,survey,good\n")
    report = hub.events("profile_id,ts,name,value\np1,2024-01-02,purchase,ten\np1,2024-01-02,survey,ten\n")
    assert (report.accepted, report.rejected) == (1, 1)
    assert (report.rejections[0].line, report.rejections[0].column) == (2, "value")


def test_event_types_are_counted_with_first_and_last_sight(hub: Plane) -> None:
    hub.events("profile_id,ts,name\np1,2024-01-01,a\np1,2024-03-01,a\np2,2024-02-01,b\n")
    a, b = catalogue.event_types(hub.engine)
    assert (a.name, a.count, a.first_seen, a.last_seen) == (
        "a",
        2,
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2024, 3, 1, tzinfo=UTC),
    )
    assert (b.name, b.count) == ("b", 1)


rows = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["", "e1", "e2", "e3"]),
        "profile_id": st.sampled_from(["p1", "p2"]),
        "ts": st.sampled_from(["2024-01-01", "2024-01-02T03:04:05Z", "someday"]),
        "name": st.sampled_from(["a", "b"]),
        "value": st.sampled_from([1, 2.5, None]),
    }
)


@search(6)
@given(st.lists(rows, min_size=1, max_size=8), st.sampled_from(["csv", "ndjson"]))
def test_counts_add_up_and_a_repeat_changes_nothing(told: list[dict[str, Any]], suffix: str) -> None:
    content = as_csv(told) if suffix == "csv" else as_ndjson(told)
    with tempfile.TemporaryDirectory() as folder, plane(Path(folder)) as hub:
        first = hub.events(content, suffix)
        assert first.accepted + first.unchanged + first.rejected == len(told)
        assert first.rejected == sum(row["ts"] == "someday" for row in told)
        before = hub.told()
        hub.now += timedelta(hours=1)
        again = hub.events(content, suffix)
        assert (again.accepted, again.rejected) == (0, first.rejected)
        assert hub.told() == before

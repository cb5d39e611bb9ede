"""What a file of profiles does to what is known of people."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.identifiers import subject
from hub.core.records import TraitType
from hub.errors import ErrorCode, HubError
from hub.warehouse import catalogue, consent
from hub.warehouse.basis import basis
from tests.searching import search
from tests.warehouse.importing import PEPPER, Plane, as_csv, as_ndjson, plane
from tests.warehouse.planes import BOTH


@pytest.fixture(params=BOTH)
def hub(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Plane]:
    with plane(tmp_path, request.param) as opened:
        yield opened


def test_traits_get_the_type_that_all_their_values_have(hub: Plane) -> None:
    hub.profiles(
        "id,age,score,vip,joined,seen,zip,card,tags,mixed,word\n"
        'p1,30,1.5,true,2024-01-31,2024-01-31T10:00:00+02:00,01234,1234567890123456,"[""a"",""b""]",1,x\n'
        'p2,,-2e3,FALSE,2024-02-29,2024-01-31 10:00:00,99999,1,"[]",x,\n'
    )
    types = {trait.name: trait.type for trait in catalogue.traits(hub.engine)}
    assert types == {
        "age": TraitType.NUMBER,
        "score": TraitType.NUMBER,
        "vip": TraitType.BOOLEAN,
        "joined": TraitType.DATETIME,
        "seen": TraitType.DATETIME,
        "zip": TraitType.TEXT,
        "card": TraitType.TEXT,
        "tags": TraitType.TEXTS,
        "mixed": TraitType.TEXT,
        "word": TraitType.TEXT,
    }
    assert hub.person("p1") == {
        "age": 30,
        "score": 1.5,
        "vip": True,
        "joined": "2024-01-31T00:00:00Z",
        "seen": "2024-01-31T08:00:00Z",
        "zip": "01234",
        "card": "1234567890123456",
        "tags": ["a", "b"],
        "mixed": "1",
        "word": "x",
    }


def test_a_column_without_any_value_waits_for_its_type(hub: Plane) -> None:
    hub.profiles("id,age\np1,\n")
    assert catalogue.traits(hub.engine) == []
    hub.profiles("id,age\np1,7\n")
    assert hub.person("p1") == {"age": 7}


def test_an_import_patches(hub: Plane) -> None:
    hub.profiles("id,plan,city\np1,free,Bonn\n")
    assert hub.profiles("id,plan\np1,pro\n").accepted == 1
    assert hub.person("p1") == {"plan": "pro", "city": "Bonn"}
    hub.profiles("id,city\np1,\n")
    assert hub.person("p1") == {"plan": "pro"}


def test_a_row_that_says_nothing_is_rejected_where_rows_are_objects_and_no_row_where_they_are_lines(hub: Plane):
    report = hub.profiles(as_ndjson([{"id": None}, {"id": "p1"}]), "ndjson")
    assert (report.accepted, report.rejected) == (1, 1)
    report = hub.profiles("id,a\n\np2,1\n,\n")
    assert (report.accepted, report.rejected) == (1, 0)


def test_in_json_an_absent_key_keeps_and_null_clears(hub: Plane) -> None:
    hub.profiles(as_ndjson([{"id": "p1", "a": 1, "b": "x"}]), "ndjson")
    hub.profiles(as_ndjson([{"id": "p1", "b": None}, {"id": "p2", "a": 2}]), "ndjson")
    assert hub.people() == {"p1": {"a": 1}, "p2": {"a": 2}}


def test_the_type_stays_and_a_value_of_another_is_rejected_by_line(hub: Plane) -> None:
    hub.profiles("id,age,joined\np1,30,2024-01-01\n")
    report = hub.profiles("id,age,joined\np1,old,2024-01-02\np2,31,2024-02-30\np3,NaN,\np4,007,\np5,32,2024-01-03\n")
    assert (report.accepted, report.rejected) == (1, 4)
    assert [(one.line, one.column) for one in report.rejections] == [(2, "age"), (3, "joined"), (4, "age"), (5, "age")]
    assert set(hub.people()) == {"p1", "p5"}
    assert hub.person("p1") == {"age": 30, "joined": "2024-01-01T00:00:00Z"}


def test_a_bad_date_or_nan_in_the_first_file_rejects_the_row_not_the_type(hub: Plane) -> None:
    report = hub.profiles("id,ltv,joined\np1,1.5,2024-01-01\np2,NaN,\np3,,2023-02-29\n")
    assert [(one.line, one.column) for one in report.rejections] == [(3, "ltv"), (4, "joined")]
    assert {trait.type for trait in catalogue.traits(hub.engine)} == {TraitType.NUMBER, TraitType.DATETIME}


def test_the_same_file_again_changes_nothing(hub: Plane) -> None:
    content = "id,email,age\np1,A@example.com,1\np2,,2\np1,b@example.com,\n"
    assert hub.profiles(content).accepted == 3
    before = hub.told()
    hub.now += timedelta(days=1)
    report = hub.profiles(content)
    assert (report.accepted, report.unchanged) == (0, 3)
    assert hub.told() == before


def test_rows_that_cannot_go_in_are_listed_and_the_rest_goes_in(hub: Plane) -> None:
    report = hub.profiles(
        b"id,email\np1,a@example.com\n,b@example.com\np3\np4,c@example.com,x\np5,nonsense\np6,\xff\xfe@example.com\np7,d@example.com\n"
    )
    assert report.accepted == 2
    assert [one.line for one in report.rejections] == [3, 4, 5, 6, 7]
    assert all("nonsense" not in one.reason and "example" not in one.reason for one in report.rejections)
    assert set(hub.people()) == {"p1", "p7"}


def test_lines_are_counted_through_quoted_line_ends_and_empty_lines(hub: Plane) -> None:
    report = hub.profiles('id,age,note\np1,1,"a\nb\nc"\n\np2,x,"d\r\ne"\np3,3,ok,more\np4,\xfc,f\np5,5,"g"\n')
    hub_lines = [(one.line, one.column) for one in report.rejections]
    assert hub_lines == [(8, None)]
    assert catalogue.load(hub.engine).traits["age"].type is TraitType.TEXT
    report = hub.profiles('id,size\np1,1\n"p2",2\n\n"p3","\n"\n')
    assert report.rejected == 0


def test_an_identifier_is_linked_under_its_one_spelling_and_its_hash(hub: Plane) -> None:
    hub.profiles("id,email,phone\np1,Ada@Example.com,+49 170 1234567\n")
    assert hub.person("p1") == {"email": "ada@example.com", "phone": "+491701234567"}
    [(hashed, linked)] = hub.engine.rows("SELECT subject, linked_at FROM identifiers WHERE kind = 'email'")
    assert bytes(hashed) == subject(PEPPER, "email", "ada@example.com")
    assert linked == hub.now
    [(hashed, linked)] = hub.engine.rows("SELECT subject, linked_at FROM identifiers WHERE kind = 'id'")
    assert (bytes(hashed), linked) == (subject(PEPPER, "id", "p1"), datetime(1970, 1, 1))


def test_a_region_reads_phone_numbers_without_a_country(hub: Plane) -> None:
    assert hub.profiles("id,phone\np1,0170 1234567\n").rejected == 1
    assert hub.profiles("id,phone\np1,0170 1234567\n", region="DE").accepted == 1


def test_all_identifiers_stay_and_the_one_that_came_last_is_the_newest(hub: Plane) -> None:
    for address in ("a@example.com", "b@example.com", "A@example.com"):
        hub.profiles(f"id,email\np1,{address}\n")
    assert hub.identifiers("p1") == [("email", "b@example.com"), ("email", "a@example.com")]
    assert hub.person("p1") == {"email": "a@example.com"}


def test_a_cleared_identifier_loses_its_value_and_keeps_its_subject(hub: Plane) -> None:
    hub.profiles("id,email\np1,a@example.com\n")
    hub.profiles("id,email\np1,\n")
    assert hub.person("p1") == {}
    assert hub.identifiers("p1") == [("email", None)]
    [(hashed,)] = hub.engine.rows("SELECT subject FROM identifiers WHERE kind = 'email'")
    assert bytes(hashed) == subject(PEPPER, "email", "a@example.com")
    hub.profiles("id,email\np1,a@example.com\n")
    assert hub.identifiers("p1") == [("email", "a@example.com")]


def test_a_new_link_moves_the_generation_and_nothing_else_does(hub: Plane) -> None:
    def generation() -> int:
        return consent.watermark(hub.engine).generation

    start = generation()
    hub.profiles("id,email,age\np1,a@example.com,1\n")
    linked = generation()
    assert linked > start
    hub.profiles("id,email,age\np1,a@example.com,2\n")
    assert generation() == linked
    hub.profiles("id,email\np1,b@example.com\n")
    assert generation() > linked


def test_an_import_moves_what_a_plan_rests_on_if_it_changes_somebody(hub: Plane) -> None:
    def changes() -> int | None:
        return basis(hub.engine).people

    start = changes()
    hub.profiles("id,age\np1,1\n")
    added = changes()
    hub.profiles("id,age\np1,2\n")
    changed = changes()
    hub.profiles("id,age\np1,2\n")
    assert len({start, added, changed}) == 3
    assert changes() == changed


def test_a_denial_recorded_before_its_profile_applies_when_it_appears(hub: Plane) -> None:
    import pyarrow as pa

    entry = [1, subject(PEPPER, "email", "a@example.com"), "ads", "DENY", hub.now, hub.now, None]
    with hub.engine.write() as tx:
        consent.apply_entries(tx, pa.table([[value] for value in entry], schema=consent.ENTRIES))
    hub.profiles("id,email\np1,a@example.com\n")
    assert hub.engine.rows("SELECT purpose, state FROM consent") == [("ads", "DENIED")]


def test_a_snapshot_lets_go_of_whom_it_lacks(hub: Plane) -> None:
    hub.profiles(as_csv([{"id": f"p{n}", "age": n} for n in range(10)]))
    hub.events("profile_id,ts,name\np9,2024-01-01,seen\n")
    kept = as_csv([{"id": f"p{n}", "age": n} for n in range(8)])
    report = hub.profiles(kept, snapshot=True)
    assert (report.accepted, report.unchanged, report.removed) == (0, 8, 2)
    assert set(hub.people()) == {f"p{n}" for n in range(8)}
    assert hub.engine.rows("SELECT count(*) FROM identifiers") == [(8,)]
    assert hub.engine.rows("SELECT count(*) FROM events") == [(0,)]


def test_a_snapshot_that_would_drop_too_many_waits_for_approval(hub: Plane) -> None:
    hub.profiles(as_csv([{"id": f"p{n}"} for n in range(10)]))
    before = hub.told()
    few = as_csv([{"id": f"p{n}"} for n in range(6)])
    with pytest.raises(HubError) as refusal:
        hub.profiles(few, snapshot=True)
    assert refusal.value.code is ErrorCode.POLICY
    assert hub.told() == before
    assert hub.profiles(few, snapshot=True, approve=True).removed == 4


def test_a_rejected_row_of_a_snapshot_keeps_its_person(hub: Plane) -> None:
    hub.profiles("id,age,email\np1,1,\np2,2,\np3,3,\np4,4,\n")
    report = hub.profiles("id,age,email\np1,x,\np2,2,nonsense\np3,3,\n", snapshot=True)
    assert (report.rejected, report.removed) == (2, 1)
    assert set(hub.people()) == {"p1", "p2", "p3"}


def test_a_snapshot_with_rows_of_nobody_knows_whom_drops_nobody_unasked(hub: Plane) -> None:
    hub.profiles("id,age\np1,1\np2,2\np3,3\np4,4\n")
    with pytest.raises(HubError) as refusal:
        hub.profiles("id,age\np1,1\np2,2\np3,3\np4,4,4\n", snapshot=True)
    assert refusal.value.code is ErrorCode.POLICY


def test_nobody_gets_the_number_of_somebody_who_left(hub: Plane) -> None:
    hub.profiles("id\np1\np2\np3\np4\n")
    [(last,)] = hub.engine.rows("SELECT max(pid) FROM profiles")
    hub.profiles("id\np1\np2\np3\n", snapshot=True)
    hub.profiles("id\np5\n")
    [(new,)] = hub.engine.rows("SELECT pid FROM profiles WHERE external_id = 'p5'")
    assert new > last


def test_names_that_differ_in_case_or_signs_get_columns_of_their_own(hub: Plane) -> None:
    hub.profiles(
        'id,Plan,plan,PLAN,first-name,first name,"a""b;--",日本,E-Mail,email\np1,a,b,c,d,e,f,g,h,i@example.com\n'
    )
    assert hub.person("p1") == {
        "Plan": "a",
        "plan": "b",
        "PLAN": "c",
        "first-name": "d",
        "first name": "e",
        'a"b;--': "f",
        "日本": "g",
        "E-Mail": "h",
        "email": "i@example.com",
    }
    assert catalogue.load(hub.engine).traits["email"].column == "t_email"


texts = st.sampled_from(["x", "y", "", 'q"uote', "a,b", "line\nend", " pad ", "ü"])
addresses = st.sampled_from(["", "a@example.com", "B@example.com", "c@example.com"])
people = st.fixed_dictionaries(
    {"id": st.sampled_from(["p1", "p2", "p3", "p4"]), "word": texts, "email": addresses, "age": st.integers(0, 3)}
)
patches = st.fixed_dictionaries(
    {"id": st.sampled_from(["p1", "p2", "p3"])},
    optional={"word": texts | st.none(), "email": addresses | st.none(), "age": st.integers(0, 3) | st.none()},
)


def summed(of: Plane) -> tuple[Any, ...]:
    """What must not depend on how the rows were split over files."""
    sql = "SELECT p.external_id, i.kind, i.value, i.subject FROM identifiers i JOIN profiles p ON p.pid = i.pid"
    return of.people(), sorted(of.engine.rows(sql), key=repr)


def newest(of: Plane) -> dict[str, str | None]:
    found = of.engine.rows(
        "SELECT p.external_id, arg_max(i.value, i.seq) FILTER (i.kind = 'email') FROM profiles p "
        "JOIN identifiers i ON i.pid = p.pid GROUP BY p.external_id"
    )
    return dict(found)


@search(6)
@given(st.lists(patches, min_size=2, max_size=8), st.data())
def test_any_split_of_a_file_into_two_gives_the_same_people(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(rows) - 1))
    first = [{"id": "p0", "word": "w", "email": "z@example.com", "age": 1}]
    with tempfile.TemporaryDirectory() as folder, plane(Path(folder)) as whole, plane(Path(folder)) as split:
        for of in (whole, split):
            of.profiles(as_ndjson(first), "ndjson")
        report = whole.profiles(as_ndjson(rows), "ndjson")
        parts = [split.profiles(as_ndjson(part), "ndjson") for part in (rows[:cut], rows[cut:])]
        assert report.rejected == sum(part.rejected for part in parts) == 0
        assert summed(whole) == summed(split)
        assert newest(whole) == newest(split) == {id: traits.get("email") for id, traits in whole.people().items()}


@search(6)
@given(st.lists(people, min_size=1, max_size=8), st.sampled_from(["csv", "ndjson"]))
def test_importing_twice_is_importing_once(rows: list[dict[str, Any]], suffix: str) -> None:
    content = as_csv(rows) if suffix == "csv" else as_ndjson(rows)
    with tempfile.TemporaryDirectory() as folder, plane(Path(folder)) as hub:
        first = hub.profiles(content, suffix)
        assert first.accepted == len(rows)
        before = hub.told()
        hub.now += timedelta(hours=1)
        again = hub.profiles(content, suffix)
        assert again == replace(first, accepted=0, unchanged=len(rows))
        assert hub.told() == before

"""Files over HTTP: what goes in, what is refused and where, and that a repeat changes nothing."""

from __future__ import annotations

import gzip
import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.acceptance.process import Hub


def parquet(**columns: Any) -> bytes:
    written = io.BytesIO()
    pq.write_table(pa.table(columns), written)
    return written.getvalue()


def counts(report: dict[str, Any]) -> tuple[int, int, int]:
    return report["accepted"], report["unchanged"], report["rejected"]


def trait_types(hub: Hub) -> dict[str, str]:
    return {trait["name"]: trait["type"] for trait in hub.ask("{ traits { name type } }")["traits"]}


def count(hub: Hub, rule: str) -> int:
    found = hub.ask("query($r: String!) { rulePreview(rule: $r) { matchCount errors { message } } }", r=rule)
    assert found["rulePreview"]["errors"] == []
    return found["rulePreview"]["matchCount"]


def test_a_csv_of_profiles_becomes_typed_traits_and_identifiers(hub: Hub) -> None:
    report = hub.take_in(
        "profiles",
        "id,email,city,visits,score,member,joined\n"
        "c1,Ada@Example.COM,Berlin,3,1.5,true,2024-05-01\n"
        "c2,bob@example.com,Köln,4,2,false,2024-05-02T10:00:00+02:00\n",
    )
    assert counts(report) == (2, 0, 0)
    assert hub.traits_of("c1")["email"] == "ada@example.com"
    assert hub.traits_of("c2")["city"] == "Köln"
    assert hub.traits_of("c1")["visits"] == 3
    assert hub.traits_of("c1")["member"] is True
    types = trait_types(hub)
    assert (types["visits"], types["score"], types["member"], types["joined"]) == (
        "number",
        "number",
        "boolean",
        "datetime",
    )


def test_the_same_profiles_again_are_unchanged(hub: Hub) -> None:
    body = "id,plan\ns1,free\ns2,pro\n"
    assert counts(hub.take_in("profiles", body)) == (2, 0, 0)
    assert counts(hub.take_in("profiles", body)) == (0, 2, 0)
    assert counts(hub.take_in("profiles", "id,plan\ns1,free\ns2,free\n")) == (1, 1, 0)


def test_an_import_patches_absent_columns_keep_and_empty_cells_and_nulls_clear(hub: Hub) -> None:
    hub.take_in("profiles", "id,plan,town\np1,free,Ulm\np2,free,Ulm\n")
    hub.take_in("profiles", "id,plan\np1,pro\n")
    assert hub.traits_of("p1") == {"plan": "pro", "town": "Ulm"}
    hub.take_in("profiles", "id,plan,town\np1,pro,\n")
    assert hub.traits_of("p1") == {"plan": "pro"}
    hub.take_in("profiles", '{"id": "p2", "town": null}\n', "ndjson")
    assert hub.traits_of("p2") == {"plan": "free"}
    hub.take_in("profiles", parquet(id=["p2"], plan=pa.array([None], pa.string())), "parquet")
    assert hub.traits_of("p2") == {}


def test_a_row_of_ndjson_that_lacks_a_key_keeps_it_though_its_neighbour_has_it(hub: Hub) -> None:
    hub.people([{"id": "n1", "hat": "red", "shoe": "big"}, {"id": "n2", "hat": "red", "shoe": "big"}])
    hub.people([{"id": "n1", "hat": "blue"}, {"id": "n2", "shoe": "small"}])
    assert hub.traits_of("n1") == {"hat": "blue", "shoe": "big"}
    assert hub.traits_of("n2") == {"hat": "red", "shoe": "small"}


def test_parquet_and_packed_files_go_in_like_csv(hub: Hub) -> None:
    body = parquet(id=["q1", "q2"], level=[1, 2], tags=[["press"], ["press", "partner"]])
    assert counts(hub.take_in("profiles", body, "parquet")) == (2, 0, 0)
    assert count(hub, 'tags has any ("partner")') == 1
    packed = hub.client.post(
        "/import/profiles",
        content=gzip.compress(b"id,level\nq3,3\n"),
        headers={"Content-Type": "text/csv", "Content-Encoding": "gzip"},
    )
    assert packed.status_code == 200
    assert hub.traits_of("q3")["level"] == 3


def test_a_type_is_inferred_from_the_whole_first_file(hub: Hub) -> None:
    rows = "".join(f"w{n},{n}\n" for n in range(3000))
    hub.take_in("profiles", f"id,late_text\n{rows}w3000,not a number\n")
    assert trait_types(hub)["late_text"] == "text"
    hub.take_in("profiles", "id,widening\nw1,1\nw2,2.5\n")
    assert trait_types(hub)["widening"] == "number"
    hub.take_in("profiles", "id,whole\nw1,1\n")
    assert counts(hub.take_in("profiles", "id,whole\nw1,1.25\n")) == (1, 0, 0)
    assert hub.traits_of("w1")["whole"] == 1.25


def test_a_value_of_another_type_is_rejected_by_line_and_the_rest_goes_in(hub: Hub) -> None:
    hub.take_in("profiles", "id,pounds\nt1,1\n")
    report = hub.take_in("profiles", "id,pounds\nt2,2\nt3,heavy\nt4,4\n")
    assert counts(report) == (2, 0, 1)
    (one,) = report["rejections"]
    assert (one["line"], one["column"]) == (3, "pounds")
    assert "heavy" not in one["reason"]
    assert hub.profile("t3", "id") is None
    assert hub.traits_of("t4")["pounds"] == 4


def test_a_bad_date_is_rejected_by_line(hub: Hub) -> None:
    hub.take_in("profiles", "id,born\nd1,2000-02-29\n")
    report = hub.take_in("profiles", "id,born\nd2,1999-02-29\nd3,1999-02-28\n")
    assert counts(report) == (1, 0, 1)
    assert report["rejections"][0]["line"] == 2
    report = hub.take_in("events", "profile_id,ts,name\nd1,2024-13-01T00:00:00Z,visit\nd1,2024-12-01T00:00:00Z,visit\n")
    assert counts(report) == (1, 0, 1)
    assert (report["rejections"][0]["line"], report["rejections"][0]["column"]) == (2, "ts")


def test_an_identifier_that_cannot_be_normalised_is_rejected_by_line_without_repeating_it(hub: Hub) -> None:
    report = hub.take_in("profiles", "id,email\ni1,fine@example.com\ni2,not-an-address\ni3,also@example.com\n")
    assert counts(report) == (2, 0, 1)
    (one,) = report["rejections"]
    assert (one["line"], one["column"]) == (3, "email")
    assert "not-an-address" not in one["reason"]
    assert hub.profile("i2", "id") is None


@pytest.mark.parametrize(
    ("kind", "body", "column"),
    [
        ("profiles", "external,plan\nx,free\n", "id"),
        ("events", "profile_id,name\nx,visit\n", "ts"),
        ("events", "ts,name\n2024-01-01T00:00:00Z,visit\n", "profile_id"),
        ("consents", "id,purpose,source\nx,mail,form\n", "action"),
    ],
)
def test_a_wrong_header_is_refused_with_the_column_and_nothing_goes_in(
    hub: Hub, kind: str, body: str, column: str
) -> None:
    answer = hub.send(kind, body)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["code"] == "INVALID"
    assert column in error["message"]


def test_a_column_twice_is_refused(hub: Hub) -> None:
    answer = hub.send("profiles", "id,plan,plan\nx,a,b\n")
    assert answer.status_code == 400
    assert "plan" in answer.json()["errors"][0]["message"]


def test_an_empty_file_and_a_file_of_only_a_header(hub: Hub) -> None:
    assert hub.send("profiles", "").status_code == 400
    assert counts(hub.take_in("profiles", "id,plan\n")) == (0, 0, 0)


def test_a_mixed_encoding_is_a_typed_error_with_a_line(hub: Hub) -> None:
    body = "id,city\nm1,Köln\n".encode() + "m2,Köln\n".encode("latin-1")
    answer = hub.send("profiles", body)
    if answer.status_code == 200:
        report = answer.json()
        assert counts(report) == (1, 0, 1)
        assert report["rejections"][0]["line"] == 3
    else:
        (error,) = answer.json()["errors"]
        assert answer.status_code == 400
        assert error["line"] == 3 or "line 3" in error["message"]
        assert hub.profile("m1", "id") is None


def test_a_byte_order_mark_and_windows_line_ends_are_read(hub: Hub) -> None:
    assert counts(hub.take_in("profiles", "\ufeffid,city\r\nb1,Ulm\r\n")) == (1, 0, 0)
    assert hub.traits_of("b1")["city"] == "Ulm"


def test_a_quoted_cell_may_hold_commas_and_line_ends_and_lines_still_count_from_the_file(hub: Hub) -> None:
    hub.take_in("profiles", "id,note,kg\nk0,x,1\n")
    report = hub.take_in("profiles", 'id,note,kg\nk1,"two\nlines, one cell",2\nk2,plain,fat\n')
    assert counts(report) == (1, 0, 1)
    assert hub.traits_of("k1")["note"] == "two\nlines, one cell"
    assert report["rejections"][0]["line"] == 4


@pytest.mark.parametrize("body", [b"PAR1 and then nonsense", b"", b"PAR1PAR1"])
def test_a_broken_parquet_file_is_refused(hub: Hub, body: bytes) -> None:
    answer = hub.send("profiles", body, "parquet")
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["code"] == "INVALID"
    assert "arquet" in error["message"]


def test_a_parquet_file_cut_short_changes_nothing(hub: Hub) -> None:
    whole = parquet(id=["cut1", "cut2"], level=[1, 2])
    assert hub.send("profiles", whole[: len(whole) // 2], "parquet").status_code == 400
    assert hub.profile("cut1", "id") is None


def test_a_line_of_ndjson_that_is_no_object_is_rejected_by_line(hub: Hub) -> None:
    report = hub.take_in("profiles", '{"id": "j1", "plan": "free"}\n{"id": "j2", \n[1]\n{"id": "j3"}\n', "ndjson")
    assert counts(report) == (2, 0, 2)
    assert [one["line"] for one in report["rejections"]] == [2, 3]


def test_a_row_without_an_id_is_rejected(hub: Hub) -> None:
    report = hub.take_in("profiles", "id,plan\n,free\nr1,free\n")
    assert counts(report) == (1, 0, 1)
    assert report["rejections"][0]["line"] == 2
    assert report["rejections"][0]["column"] == "id"


def test_an_unknown_content_type_kind_or_option_is_refused(hub: Hub) -> None:
    sent = hub.client.post("/import/profiles", content=b"x", headers={"Content-Type": "text/html"})
    assert (sent.status_code, sent.json()["errors"][0]["code"]) == (415, "UNSUPPORTED")
    assert hub.send("orders", "id\n").status_code == 404
    assert hub.send("profiles", "id\nx\n", snapshot="maybe").status_code == 400


def test_columns_can_be_mapped(hub: Hub) -> None:
    hub.take_in("profiles", "customer,mail\nmap1,map1@example.com\n", map=["customer=id", "mail=email"])
    assert hub.traits_of("map1")["email"] == "map1@example.com"
    assert hub.send("profiles", "a,b\n1,2\n", map="missing=id").status_code == 400


def test_events_with_an_id_count_once_and_events_without_one_each_time(hub: Hub) -> None:
    hub.people([{"id": "e1"}, {"id": "e2"}])
    with_id = "id,profile_id,ts,name,value\nv1,e1,2024-01-01T00:00:00Z,bought,5\nv1,e1,2024-01-01T00:00:00Z,bought,5\n"
    assert counts(hub.take_in("events", with_id)) == (1, 1, 0)
    assert counts(hub.take_in("events", with_id + "v2,e1,2024-01-02T00:00:00Z,bought,7\n")) == (1, 2, 0)
    without = "profile_id,ts,name\ne2,2024-01-01T00:00:00Z,knocked\ne2,2024-01-01T00:00:00Z,knocked\n"
    assert counts(hub.take_in("events", without)) == (2, 0, 0)
    assert count(hub, "count(bought) = 2") == 1
    assert count(hub, "sum(bought.value) = 12") == 1
    assert count(hub, "count(knocked) = 2") == 1


def test_a_file_of_events_imported_before_is_recognised(hub: Hub) -> None:
    hub.people([{"id": "f1"}])
    body = "profile_id,ts,name\nf1,2024-01-01T00:00:00Z,rang\nf1,2024-01-01T00:00:00Z,rang\n"
    assert counts(hub.take_in("events", body)) == (2, 0, 0)
    assert counts(hub.take_in("events", body)) == (0, 2, 0)
    assert count(hub, "count(rang) = 2") == 1


def test_events_make_the_catalogue(hub: Hub) -> None:
    hub.people([{"id": "g1"}])
    hub.take_in("events", "profile_id,ts,name,colour\ng1,2024-03-01T00:00:00Z,painted,red\n")
    found = hub.ask("{ eventTypes { name count firstSeen lastSeen properties { name type known } } }")["eventTypes"]
    (painted,) = (one for one in found if one["name"] == "painted")
    assert painted["count"] == 1
    assert painted["firstSeen"].startswith("2024-03-01T00:00:00")
    assert {"name": "colour", "type": "text", "known": 1} in painted["properties"]


def test_a_snapshot_lets_those_go_who_are_missing_and_the_brake_holds_a_large_one(hub: Hub) -> None:
    everyone = hub.ask("{ profiles(first: 1) { totalCount } }")["profiles"]["totalCount"]
    answer = hub.send("profiles", "id,plan\nonly,free\n", snapshot="true")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "POLICY")
    assert hub.ask("{ profiles(first: 1) { totalCount } }")["profiles"]["totalCount"] == everyone
    report = hub.take_in(
        "profiles", "id,plan\nonly1,free\nonly2,free\nonly3,free\nonly4,free\n", snapshot="true", approve="true"
    )
    assert report["removed"] == everyone
    report = hub.take_in("profiles", "id,plan\nonly1,free\nonly2,free\nonly3,free\n", snapshot="true")
    assert (counts(report), report["removed"]) == ((0, 3, 0), 1)
    assert hub.profile("only4", "id") is None
    assert hub.profile("only1", "id") is not None

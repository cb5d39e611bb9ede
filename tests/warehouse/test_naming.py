"""By which keys destinations know people: none of them is empty, so that no connector has to look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.identifiers import EXTERNAL_ID, IDENTIFIER_TRAITS, KINDS
from hub.core.spellings import SPELLINGS
from hub.warehouse.naming import names, names_params
from tests.searching import search
from tests.warehouse.importing import Plane, as_ndjson, plane
from tests.warehouse.planes import BOTH
from tests.warehouse.town import ASKED

NOTHING = [None, "", " ", "\u00a0\u3000", "\u200b"]
NEXT_TO_NOTHING = ["+", ".", "@gmail.com", "..@gmail.com", "+0", "0", "00000000-0000-0000-0000-000000000000"]
SOMETHING = ["a.b@gmail.com", "ann@x.example", "+4915112345678", "d8b2", " x "]
SPELLED = [(kind, name) for name in SPELLINGS for kind in KINDS if name.partition(".")[2] == kind]
PLAIN = [(kind, "") for kind in KINDS]

told = st.sampled_from(NOTHING + NEXT_TO_NOTHING + SOMETHING)
newcomers = st.integers(0, 10**9).map(str)
rows = st.fixed_dictionaries(
    {EXTERNAL_ID: st.sampled_from(["p1", "p2", "", " "]) | newcomers},
    optional=dict.fromkeys(IDENTIFIER_TRAITS, told),
)
files = st.lists(st.lists(rows, min_size=1, max_size=4), min_size=1, max_size=3)


@pytest.fixture(scope="module", params=BOTH)
def hub(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    with plane(Path(tmp_path_factory.mktemp("naming")), request.param) as opened:
        yield opened


@given(told=files)
@search(10)
def test_no_identifier_that_a_vendor_is_sent_is_empty(hub: Plane, told: list[list[dict[str, Any]]]) -> None:
    for people in told:
        hub.profiles(as_ndjson(people), "ndjson")
    every = replace(ASKED, identifiers=(*PLAIN, *SPELLED))
    keys = [key for _, key in hub.engine.rows(f"SELECT pid, key FROM ({names(hub.engine, every)}) AS everyone")]
    assert not [key for key in keys if not key.partition(":")[2].strip()]
    for kind in IDENTIFIER_TRAITS:
        one = replace(ASKED, key=kind)
        keys = [key for _, key in hub.engine.rows(names(hub.engine, one), names_params(one))]
        assert not [key for key in keys if not key.strip()], kind
    assert hub.engine.rows("SELECT count(*) FROM profiles WHERE trim(external_id) = ''") == [(0,)]

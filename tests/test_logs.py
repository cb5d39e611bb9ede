"""The hub's own log (law L6, rows P19 and B30): one line of JSON each, of fields on a list, and nobody's data."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
import structlog

from hub.logs import configure_logs, where

PRIVATE = "ann@example.com"

Told = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """What has been logged, a line each."""
    root, written = logging.getLogger(), StringIO()
    before, root.handlers[:] = root.handlers[:], []
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", written)
        configure_logs("debug")
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.handlers[:] = before
    structlog.reset_defaults()


def test_a_field_that_nobody_has_put_on_the_list_is_left_out(told: Told) -> None:
    structlog.get_logger().bind(email=PRIVATE, sync="vip").info("sent", people=3, person=PRIVATE, config={"a": PRIVATE})
    [line] = told()
    assert set(line) == {"event", "level", "timestamp", "sync", "people"}
    assert (line["event"], line["sync"], line["people"]) == ("sent", "vip", 3)


@pytest.mark.parametrize("broken", ["a\r\nb", "a\x1b[31mb", "a\u2028b", 'a"}\n{"b', "a\x00b", "a\u202eb"])
def test_whatever_a_value_holds_it_stays_on_its_line(told: Told, broken: str) -> None:
    structlog.get_logger().info(broken, sync=broken, path=broken * 200)
    [line] = told()
    assert all(char.isprintable() for text in (line["event"], line["sync"], line["path"]) for char in text)
    assert len(line["path"]) == 500


def test_of_what_a_library_says_only_who_spoke_and_how_loud_is_kept(told: Told) -> None:
    try:
        raise ValueError(PRIVATE)
    except ValueError:
        logging.getLogger("asyncpg").exception("cannot store %s", PRIVATE, stack_info=True, extra={"row": PRIVATE})
    logging.getLogger("httpx").info("GET https://vendor.example/%s", PRIVATE)
    [line] = told()
    assert (line["event"], line["level"], line["logger"]) == ("library message", "error", "asyncpg")
    assert PRIVATE not in str(line)


def test_an_exception_that_is_handed_over_leaves_its_words_behind(told: Told) -> None:
    try:
        raise ValueError(PRIVATE)
    except ValueError as error:
        structlog.get_logger().exception("failed", error_type=type(error).__name__, where=where(error))
    [line] = told()
    assert line["error_type"] == "ValueError" and PRIVATE not in str(line)


def test_where_it_was_names_our_own_innermost_line() -> None:
    from hub.core.identifiers import normalise

    with pytest.raises(ValueError, match="e-mail") as raised:
        normalise("email", "ann at example.com")
    assert where(raised.value).startswith("hub.core.identifiers:")
    assert where(ValueError(PRIVATE)) == "unknown"

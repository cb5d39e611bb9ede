"""The command line where no hub runs, or where one does not answer as it should: a line, and not a traceback."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from hub.cli import backups, serving
from hub.errors import HubError
from tests.services.opened import control_plane
from tests.test_cli import Home, home_in
from tests.web.served import PEOPLE

MAKE = """mutation {
  purposeCreate(input: {key: "news", name: "News"}) { errors { message } }
  segmentCreate(input: {key: "all", name: "All", rule: "everyone"}) { errors { message } }
  destinationCreate(input: {key: "d", name: "D", connector: "sandbox", config: {}}) { errors { message } }
  syncCreate(input: {key: "s", segment: "all", destination: "d", audience: "a", purposes: ["news"]}) {
    errors { message } }
  consentRecord(input: {externalId: "p1", purpose: "news", action: GRANT, source: "form",
    effectiveAt: "2026-01-01T00:00:00Z"}) { errors { message } } }"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with control_plane(tmp_path) as url:
        yield home_in(tmp_path, url)


def refused(home: Home, *arguments: str, **environment: str) -> str:
    """The one line that a refusal says."""
    done = home.hub(*arguments, **environment)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stdout + done.stderr
    [line] = done.stderr.splitlines()
    return line


def test_without_a_running_hub_a_run_is_carried_out_here_while_it_is_followed(home: Home) -> None:
    home.hub("import", "profiles", home.file("people.csv", PEOPLE))
    assert home.hub("query", MAKE).returncode == 0
    followed = home.hub("run", "s", "--follow")
    assert followed.returncode == 0, followed.stderr
    assert "SUCCEEDED" in followed.stdout and "1 added" in followed.stdout


def test_a_packed_file_that_cannot_be_unpacked_is_refused_without_a_hub_too(home: Home) -> None:
    packed = home.folder / "people.csv.gz"
    packed.write_text(PEOPLE)
    assert "cannot be unpacked" in refused(home, "import", "profiles", str(packed))
    packed.write_bytes(gzip.compress(PEOPLE.encode())[:-20])
    assert "breaks off before its end" in refused(home, "import", "profiles", str(packed))


def test_what_is_no_query_is_refused_without_a_hub_too(home: Home) -> None:
    assert refused(home, "query", " ").startswith("INVALID: ")
    assert refused(home, "query", 'subscription { runProgress(id: "x") { id } }').startswith("UNSUPPORTED: ")


def test_a_database_that_does_not_answer_is_told_in_a_line_without_its_password(home: Home) -> None:
    away = refused(home, "worker", HUB_DATABASE_URL="postgresql://ann:pass4word@127.0.0.1:9/hub")
    assert away.startswith("UNAVAILABLE: ") and "pass4word" not in away


def test_a_folder_that_cannot_be_made_is_named(home: Home) -> None:
    for command in (["serve", "--port", "0"], ["migrate"], ["query", "{ __typename }"]):
        assert "(HUB_DATA)" in refused(home, *command, HUB_DATA=home.file("taken", ""))


def test_an_address_or_token_that_cannot_be_one_is_refused_and_not_repeated(home: Home) -> None:
    asked = ["query", "{ __typename }"]
    assert "(HUB_URL)" in refused(home, *asked, HUB_URL="http://127.0.0.1:99999", HUB_TOKEN="x")
    token = refused(home, *asked, HUB_URL="http://127.0.0.1:9", HUB_TOKEN="se\ncret")
    assert "(HUB_TOKEN)" in token and "cret" not in token.removesuffix("(HUB_TOKEN)")


def test_a_token_is_rotated_where_its_stores_are_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_URL", "https://hub.example.com")
    with pytest.raises(HubError, match="HUB_URL"):
        serving.rotate_token()


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """The address of a hub that answers every POST like this."""
    handler = type("Hub", (BaseHTTPRequestHandler,), {"do_POST": answer, "log_message": lambda *_: None})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def half_of_it(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", "1000")
    request.end_headers()
    request.wfile.write(b"x" * 500)


def not_you(request: BaseHTTPRequestHandler) -> None:
    request.send_response(401)
    request.end_headers()
    request.wfile.write(b'{"errors": [{"code": "FORBIDDEN", "message": "This token is not good here."}]}')


@pytest.mark.parametrize(
    ("answer", "said"), [(half_of_it, "broke off"), (not_you, "not good here")], ids=["half of it", "not you"]
)
def test_a_backup_that_did_not_come_whole_is_none_and_leaves_no_file(
    answer: Answer, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_TOKEN", "token")
    with answering(answer) as url, pytest.raises(HubError, match=said):
        monkeypatch.setenv("HUB_URL", url)
        backups.back_up(tmp_path / "kept.tar")
    assert not list(tmp_path.iterdir())


def test_a_backup_from_nobody_or_to_nowhere_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_TOKEN", "token")
    monkeypatch.setenv("HUB_URL", "http://127.0.0.1:9")
    with pytest.raises(HubError, match="No hub answers"):
        backups.back_up(tmp_path / "kept.tar")
    with pytest.raises(HubError, match="cannot be written"):
        backups.back_up(tmp_path / "nowhere" / "kept.tar")
    assert not list(tmp_path.iterdir())

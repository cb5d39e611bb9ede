"""The commands as a person types them: a real process, a real port."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from hub.cli import remote
from hub.settings import Settings
from tests.services.opened import control_plane
from tests.web.served import PEOPLE

HUB = Path(sys.executable).with_name("hub")


@dataclass
class Home:
    """A folder of a hub, and the commands in it."""

    folder: Path
    environment: dict[str, str]

    def hub(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [HUB, *arguments],
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def file(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)


def home_in(folder: Path, database_url: str) -> Home:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
    chosen = {"HUB_DATA": str(folder), "HUB_DATABASE_URL": database_url, "HUB_CONNECTORS": "sandbox"}
    return Home(folder, {**inherited, **chosen})


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with control_plane(tmp_path, made=True) as url:
        yield home_in(tmp_path, url)


@pytest.fixture
def new_home(tmp_path: Path) -> Iterator[Home]:
    """No hub was ever here."""
    with control_plane(tmp_path) as url:
        yield home_in(tmp_path, url)


@dataclass
class Running:
    home: Home
    process: subprocess.Popen[bytes]
    url: str
    token: str
    said: Path
    log: Path

    @property
    def admin_token(self) -> str:
        return re.search(r"hub_admin_[\w-]+", self.said.read_text())[0]

    def watch(self, **headers: str) -> Any:
        url = self.url.replace("http", "ws") + "/graphql"
        return connect(url, subprotocols=["graphql-transport-ws"], additional_headers=headers, open_timeout=60)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("serving")
    with control_plane(folder) as url, (folder / "said").open("wb") as said, (folder / "log").open("wb") as log:
        home = home_in(folder, url)
        process = subprocess.Popen([HUB, "serve", "--port", "0"], env=home.environment, stdout=said, stderr=log)
        try:
            left = wait_for(process, folder)
            yield Running(home, process, left["url"], left["token"], folder / "said", folder / "log")
        finally:
            process.kill()
            process.wait()


def wait_for(process: subprocess.Popen[bytes], folder: Path) -> dict[str, Any]:
    """What the hub leaves in its folder, once it answers."""
    import time
    import urllib.request

    for _ in range(2400):
        assert process.poll() is None, (folder / "log").read_text()
        try:
            left = json.loads((folder / "server.json").read_text())
            urllib.request.urlopen(left["url"] + "/readyz", timeout=60).close()
        except (OSError, ValueError):
            time.sleep(0.05)
        else:
            return dict(left)
    raise AssertionError("the hub was not ready in time")


def test_help_lists_the_commands_and_imports_nothing_heavy(home: Home) -> None:
    shown = home.hub("--help")
    assert shown.returncode == 0
    for command in ("serve", "worker", "migrate", "import", "query", "run", "connectors", "token"):
        assert command in shown.stdout
    heavy = "strawberry tortoise ibis duckdb pyarrow starlette rich httpx pydantic".split()
    script = f"import sys, hub.cli; print([name for name in {heavy!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


@pytest.mark.parametrize("arguments", [["nonsense"], ["import", "wishes", "x.csv"], ["serve", "--port", "many"]])
def test_wrong_usage_ends_with_2(home: Home, arguments: list[str]) -> None:
    assert home.hub(*arguments).returncode == 2


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["import", "profiles", "nowhere.csv"], {}, "NOT_FOUND: There is no file"),
        (["query", "{ traits { name } }", "--variables", "[1]"], {}, "INVALID: --variables"),
        (["query", "{ traits { name } }"], {"HUB_URL": "http://127.0.0.1:9", "HUB_TOKEN": "x"}, "No hub answers"),
        (["query", "{ traits { name } }"], {"HUB_URL": "http://127.0.0.1:9"}, "HUB_TOKEN"),
        (["query", "{ traits { name } }"], {"HUB_URL": "gopher://x", "HUB_TOKEN": "x"}, "HUB_URL must begin"),
        (["serve"], {"HUB_ADMIN_TOKEN": "changeme"}, "HUB_ADMIN_TOKEN"),
        (["serve"], {"HUB_LOG_LEVEL": "loud"}, "HUB_LOG_LEVEL must be debug, info, warning or error."),
        (["serve", "--host", "192.0.2.1"], {}, "choose another with --port"),
    ],
)
def test_a_refusal_ends_with_1_and_one_line_on_standard_error(
    home: Home, arguments: list[str], environment: dict[str, str], said: str
) -> None:
    refused = home.hub(*arguments, **environment)
    assert refused.returncode == 1, refused.stderr
    assert said in refused.stderr and "Traceback" not in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1 and refused.stdout == ""


def test_without_a_running_hub_the_stores_are_asked_themselves(home: Home) -> None:
    imported = home.hub("import", "profiles", home.file("people.csv", PEOPLE + "p5,bob at example,,,,\n"))
    assert imported.returncode == 0, imported.stderr
    assert imported.stdout == "4 accepted, 1 rejected\n"
    assert imported.stderr.startswith("INVALID: ") and "(line 6, email)" in imported.stderr
    asked = home.hub("query", "query($n: Int) { profiles(first: $n) { totalCount } }", "--variables", '{"n": 1}')
    assert json.loads(asked.stdout) == {"profiles": {"totalCount": 4}}


def test_a_rule_with_a_mistake_names_line_column_and_what_was_meant(home: Home) -> None:
    home.hub("import", "profiles", home.file("people.csv", PEOPLE))
    rule = '{key: "a", name: "A", rule: "cuntry = \\"AT\\""}'
    wanted = "errors { code message path line column suggestion }"
    query = f"mutation {{ segmentCreate(input: {rule}) {{ {wanted} }} }}"
    refused = home.hub("query", query)
    assert refused.returncode == 1
    assert "RULE_UNKNOWN_TRAIT" in refused.stderr
    assert "(input.rule; line 1, column 1)" in refused.stderr and "country" in refused.stderr


def test_a_connector_that_cannot_be_used_is_listed_with_its_reason(home: Home) -> None:
    listed = home.hub("connectors", HUB_CONNECTORS="sandbox,acme")
    assert listed.returncode == 0, listed.stderr
    known, disabled = listed.stdout.splitlines()
    assert known.startswith("sandbox\t") and disabled == "acme\t\tdisabled\tnot installed"


def test_the_connectors_are_listed_alike_by_a_running_hub_and_without_one_which_makes_no_stores(
    running: Running, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "nothing-here"
    listed = running.home.hub("connectors", HUB_DATA=str(elsewhere))
    assert listed.returncode == 0 and listed.stdout == running.home.hub("connectors").stdout
    assert not elsewhere.exists()


FIRST_FILES = {
    "customers.csv": PEOPLE,
    "orders.ndjson": '{"profile_id": "p1", "name": "purchase", "ts": "2026-01-31T09:30:00Z", "id": "e1"}\n',
    "consents.csv": "id,purpose,action,source,effective_at\np1,newsletter,grant,form,2026-01-31T09:30:00Z\n",
}


def test_the_first_steps_of_the_readme_take_everything_in_one_after_the_other(new_home: Home) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    steps = [shlex.split(line) for line in re.findall(r"^\.venv/bin/hub ((?:import|query) .*)$", readme, re.MULTILINE)]
    assert [step[1] for step in steps if step[0] == "import"] == ["profiles", "events", "consents"]
    for step in steps:
        files = {word: new_home.file(word, FIRST_FILES[word]) for word in step if word in FIRST_FILES}
        done = new_home.hub(*(files.get(word, word) for word in step))
        assert done.returncode == 0 and "rejected" not in done.stdout, done.stderr


def test_migrate_says_what_it_did_and_is_done_once(new_home: Home) -> None:
    first, second = new_home.hub("migrate"), new_home.hub("migrate")
    assert first.returncode == second.returncode == 0
    assert "applied 0001" in first.stdout and "newest schema" in second.stdout


def test_a_running_hub_leaves_its_address_for_its_own_user_only(running: Running) -> None:
    left = running.home.folder / "server.json"
    assert stat.S_IMODE(left.stat().st_mode) == 0o600
    assert json.loads(left.read_text())["pid"] == running.process.pid
    assert running.admin_token not in left.read_text()


def test_the_first_start_says_token_and_address_on_standard_output_and_logs_elsewhere(running: Running) -> None:
    token, address = running.said.read_text().splitlines()
    assert re.fullmatch(r"The admin token, shown this once: hub_admin_[\w-]+", token)
    assert address == f"The hub is at {running.url} (GraphiQL: {running.url}/graphql)"
    assert running.admin_token not in running.log.read_text()
    assert all(line.startswith("{") for line in running.log.read_text().splitlines())


def test_the_commands_go_through_the_running_hub(running: Running) -> None:
    home = running.home
    imported = home.hub(
        "import", "profiles", home.file("people.csv", PEOPLE.replace("id,", "Kunde,")), "--map", "Kunde=id"
    )
    assert (imported.returncode, imported.stdout) == (0, "4 accepted\n"), imported.stderr
    listed = home.hub("connectors")
    assert listed.returncode == 0 and listed.stdout.startswith("sandbox\t")
    elsewhere = home.hub(
        "query", "{ traits { name } }", HUB_DATA=str(home.folder / "empty"), HUB_URL=running.url, HUB_TOKEN="wrong"
    )
    assert elsewhere.returncode == 1 and "token is not good" in elsewhere.stderr


MAKE = """mutation($at: DateTime!) {
  purposeCreate(input: {key: "news", name: "News"}) { errors { message } }
  segmentCreate(input: {key: "all", name: "All", rule: "everyone"}) { errors { message } }
  destinationCreate(input: {key: "d", name: "D", connector: "sandbox", config: {}}) { errors { message } }
  syncCreate(input: {key: "s", segment: "all", destination: "d", audience: "a", purposes: ["news"]}) {
    errors { message } }
  consentRecord(input: {externalId: "p1", purpose: "news", action: GRANT, source: "form", effectiveAt: $at}) {
    errors { message } } }"""


def test_a_run_is_followed_to_its_end_and_told_live(running: Running) -> None:
    home = running.home
    home.hub("import", "profiles", home.file("people.csv", PEOPLE))
    made = home.hub("query", MAKE, "--variables", '{"at": "2026-01-01T00:00:00Z"}')
    assert made.returncode == 0, made.stderr
    followed = home.hub("run", "s", "--follow")
    assert followed.returncode == 0, followed.stderr
    assert "SUCCEEDED" in followed.stdout and "1 added" in followed.stdout
    assert "withheld NO_CONSENT: 3" in followed.stdout
    statuses = list(told(running, followed.stdout.split()[0]))
    assert statuses[-1] == "SUCCEEDED"
    again = home.hub("run", "s", "--follow", "--full")
    assert again.returncode == 0 and "SUCCEEDED" in again.stdout, again.stdout + again.stderr
    unknown = home.hub("run", "t")
    assert unknown.returncode == 1 and "NOT_FOUND" in unknown.stderr


def told(running: Running, run_id: str) -> Iterator[str]:
    with running.watch() as socket:
        socket.send(
            json.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {running.admin_token}"}})
        )
        assert json.loads(socket.recv(10))["type"] == "connection_ack"
        query = "subscription($id: ID!) { runProgress(id: $id) { status } }"
        asked = {"id": "1", "type": "subscribe", "payload": {"query": query, "variables": {"id": run_id}}}
        socket.send(json.dumps(asked))
        while (message := json.loads(socket.recv(10)))["type"] == "next":
            yield message["payload"]["data"]["runProgress"]["status"]
        assert message["type"] == "complete"


def test_a_websocket_with_the_header_needs_no_more(running: Running) -> None:
    with running.watch(Authorization=f"Bearer {running.token}") as socket:
        socket.send('{"type": "connection_init"}')
        assert json.loads(socket.recv(10))["type"] == "connection_ack"
        socket.send(
            json.dumps(
                {"id": "1", "type": "subscribe", "payload": {"query": 'subscription { runProgress(id: "x") { id } }'}}
            )
        )
        message = json.loads(socket.recv(10))
        [error] = message["payload"]["errors"] if message["type"] == "next" else message["payload"]
        assert error["extensions"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize("payload", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": 5}])
def test_a_websocket_without_a_good_token_is_closed(running: Running, payload: dict[str, Any]) -> None:
    with running.watch() as socket:
        socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 4403


def test_a_websocket_that_asks_before_it_is_known_is_closed(running: Running) -> None:
    with running.watch() as socket:
        socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": "{ traits { name } }"}}))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 4401


@pytest.mark.parametrize("said", ["[]", "1", "null", "nonsense"])
def test_a_websocket_that_says_what_is_no_message_is_closed_by_the_protocols_own_code(
    running: Running, said: str
) -> None:
    with running.watch(Authorization=f"Bearer {running.token}") as socket:
        socket.send(said)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 4400


def test_a_websocket_that_asks_nothing_is_told_so(running: Running) -> None:
    with running.watch(Authorization=f"Bearer {running.token}") as socket:
        socket.send('{"type": "connection_init"}')
        assert json.loads(socket.recv(10))["type"] == "connection_ack"
        socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": " "}}))
        message = json.loads(socket.recv(10))
    assert message["type"] == "error" and message["payload"][0]["extensions"]["code"] == "INVALID"
    assert "Traceback" not in running.log.read_text()


@pytest.mark.skipif(os.environ.get("HUB_TEST_DATABASE") == "postgres", reason="is about the DuckDB file")
def test_a_second_hub_on_the_same_folder_is_told_what_to_do(running: Running) -> None:
    second = running.home.hub("serve", "--port", "0")
    assert second.returncode == 1
    assert "Another process has the data plane open" in second.stderr
    assert (running.home.folder / "server.json").exists()


def test_after_a_rotation_only_the_new_token_is_good(running: Running) -> None:
    rotated = running.home.hub("token", "rotate")
    assert rotated.returncode == 0 and rotated.stdout.startswith("hub_admin_")
    anywhere = {"HUB_DATA": str(running.home.folder / "empty"), "HUB_URL": running.url}
    asked = running.home.hub("query", "{ purposes { key } }", **anywhere, HUB_TOKEN=rotated.stdout.strip())
    assert asked.returncode == 0, asked.stderr
    refused = running.home.hub("query", "{ purposes { key } }", **anywhere, HUB_TOKEN=running.admin_token)
    assert refused.returncode == 1


def test_what_a_hub_leaves_behind_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, write = list[bool](), json.dump

    def looking(told: Any, file: Any) -> None:
        found.append((tmp_path / remote.LEFT_BEHIND).exists())
        write(told, file)

    monkeypatch.setattr(remote.json, "dump", looking)
    for _ in range(2):
        left = remote.leave_behind(Settings(data=tmp_path), remote.Address("http://127.0.0.1:8000", "token"))
        assert left.stat().st_mode & 0o777 == 0o600 and json.loads(left.read_text())["token"] == "token"
        left.unlink()
    assert found == [False, False] and not list(tmp_path.iterdir())


def test_sigterm_ends_the_hub_tidily(running: Running) -> None:
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(60) == 0
    assert not (running.home.folder / "server.json").exists()
    assert "Traceback" not in running.log.read_text()


def test_a_connector_is_begun_and_checked_from_the_command_line(home: Home) -> None:
    begun = home.hub("connector", "new", "acme", "--into", str(home.folder))
    assert begun.returncode == 0 and f"cd {home.folder / 'acme-audiences'}" in begun.stdout
    assert {file.stat().st_mode & 0o044 for file in home.folder.glob("acme-audiences/*")} == {0o044}, "for others too"
    again = home.hub("connector", "new", "acme", "--into", str(home.folder))
    assert again.returncode == 1 and again.stderr.startswith("CONFLICT: ")
    checked = home.hub("connector", "check", str(home.folder / "acme-audiences"))
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.startswith("Acme (acme): ") and "broken" not in checked.stdout

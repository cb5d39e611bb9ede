"""The command line: beside a running hub, and alone with the stores."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.process import COMMAND, PATIENCE_S, TOKEN, Hub, command, environment, serving, until


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def query(data: Path, text: str, **more: str) -> Any:
    done = command(data, "query", text, **more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def settled(data: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(data.iterdir()):
        if path.is_file():
            yield path.name, path.read_bytes()


def test_beside_a_running_hub(hub: Hub, tmp_path: Path) -> None:
    """One walk through every command that asks a hub, since each start of a process costs time."""
    people = tmp_path / "people.csv"
    people.write_text("customer,plan,kg\nc1,free,1\nc2,pro,2\nc3,pro,fat\n")
    done = command(hub.data, "import", "profiles", str(people), "--map", "customer=id")
    assert done.returncode == 0, done.stderr
    assert "accepted" in done.stdout
    hub.people([{"id": "typed", "stones": 3}])
    people.write_text("id,stones\nc1,1\nc2,heavy\n")
    done = command(hub.data, "import", "profiles", str(people))
    assert done.returncode == 0
    assert "line 3" in done.stderr
    assert "heavy" not in done.stderr
    people.write_text("id,stones\nc2,heavy\n")
    assert command(hub.data, "import", "profiles", str(people)).returncode == 1

    hub.create("purpose", key="mail", name="Mail")
    hub.create("segment", key="pros", rule='plan = "pro"')
    hub.create("destination", key="box", connector="sandbox", config={})
    hub.create("sync", key="pros", segment="pros", destination="box", audience="pros", purposes=["mail"])
    hub.grant("mail", "c2")
    done = command(hub.data, "run", "pros", "--follow")
    assert done.returncode == 0, done.stderr
    assert "SUCCEEDED" in done.stdout
    assert "NO_CONSENT" in done.stdout
    assert hub.delivered("pros") == 1
    queued = command(hub.data, "run", "pros")
    assert "--follow" in queued.stdout and "nothing to do" not in queued.stdout
    done = command(hub.data, "run", "prosz")
    assert (done.returncode, "pros" in done.stderr) == (1, True)

    done = command(hub.data, "connectors")
    assert done.returncode == 0
    assert {"sandbox", "webhook", "file", "mailchimp", "onesignal"} <= set(done.stdout.split())
    found = command(hub.data, "query", '{ segment(key: "pros") { rule } }', HUB_URL=hub.url, HUB_TOKEN=TOKEN)
    assert json.loads(found.stdout) == {"segment": {"rule": 'plan = "pro"'}}
    refused = command(hub.data, "query", "{ __typename }", HUB_URL=hub.url, HUB_TOKEN="wrong-token-1")
    assert (refused.returncode, "token" in refused.stderr.lower()) == (1, True)
    wrong = command(hub.data, "query", 'mutation { segmentDelete(key: "nope") { errors { code message } } }')
    assert (wrong.returncode, "NOT_FOUND" in wrong.stderr) == (1, True)
    assert command(hub.data, "query", "{ nope }").returncode == 1
    assert "Traceback" not in done.stderr + refused.stderr + wrong.stderr


def test_server_json_is_for_its_own_user_only(hub: Hub) -> None:
    assert stat.S_IMODE((hub.data / "server.json").stat().st_mode) == 0o600
    left = json.loads((hub.data / "server.json").read_text())
    assert left["token"] != TOKEN
    for path in hub.data.iterdir():
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 or "key" not in path.name, path


def test_a_second_process_on_the_same_file_is_told_what_to_do(hub: Hub) -> None:
    done = command(hub.data, "serve", "--port", "0", HUB_ADMIN_TOKEN=TOKEN)
    assert done.returncode == 1
    assert "CONFLICT" in done.stderr
    assert "Traceback" not in done.stderr
    assert (hub.data / "server.json").exists()
    assert hub.client.get("/readyz").status_code == 200


def test_a_taken_port_is_refused_in_words(hub: Hub, data: Path) -> None:
    port = hub.url.rpartition(":")[2]
    done = command(data, "serve", "--port", port)
    assert (done.returncode, "--port" in done.stderr) == (1, True)


def test_the_admins_token_is_printed_once_and_rotated(data: Path) -> None:
    log = data.parent / "first.log"
    with serving_without_token(data, log) as (url, said):
        token = said.rpartition("shown this once: ")[2].split()[0]
        assert asked(url, token).status_code == 200
        rotated = command(data, "token", "rotate")
        assert rotated.returncode == 0, rotated.stderr
        new = rotated.stdout.split()[-1]
        assert asked(url, new).status_code == 200
        assert asked(url, token).status_code == 401
    with serving_without_token(data, log) as (url, said):
        assert "shown this once" not in said
        assert new not in said
        assert asked(url, new).status_code == 200
    assert new.encode() not in b"".join(content for _, content in settled(data))


def asked(url: str, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.post(f"{url}/graphql", json={"query": "{ __typename }"}, headers=headers, trust_env=False)


class serving_without_token:
    """`hub serve` as somebody types it for the first time; gives its address and what it has said by then."""

    def __init__(self, data: Path, log: Path) -> None:
        self.data, self.log = data, log

    def __enter__(self) -> tuple[str, str]:
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [COMMAND, "serve", "--port", "0"], env=environment(self.data), stdout=output, stderr=output
            )
        said = until(lambda: (text := self.log.read_text()) and "The hub is at" in text and text, 2 * PATIENCE_S)
        url = said.rpartition("The hub is at ")[2].split()[0]
        until(lambda: _answers(url))
        return url, said

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        assert self.process.wait(PATIENCE_S) == 0


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    ("name", "value"),
    [("HUB_ADMIN_TOKEN", "changeme"), ("HUB_WRITE_KEY", "password"), ("HUB_SECRET_KEY", "0" * 64)],
)
def test_a_secret_that_is_known_is_refused(data: Path, name: str, value: str) -> None:
    done = command(data, "serve", "--port", "0", **{name: value})
    assert done.returncode == 1, done.stderr
    assert name in done.stderr
    assert "Traceback" not in done.stderr
    assert f"{value} " not in done.stderr


@pytest.mark.slow
def test_alone_with_the_stores(data: Path, tmp_path: Path) -> None:
    """Importing, asking and running without a server, then a backup that no withdrawal is lost by."""
    people, kept = tmp_path / "people.ndjson", tmp_path / "kept.backup"
    people.write_text('{"id": "a", "plan": "pro"}\n{"id": "b", "plan": "pro"}\n')
    assert command(data, "import", "profiles", str(people)).returncode == 0
    query(
        data,
        'mutation { purposeCreate(input: {key: "mail", name: "Mail"}) { errors { message } } '
        'segmentCreate(input: {key: "all", name: "All", rule: "everyone"}) { errors { message } } '
        'destinationCreate(input: {key: "out", name: "Out", connector: "file", config: {}}) { errors { message } } '
        'syncCreate(input: {key: "out", segment: "all", destination: "out", audience: "all", purposes: ["mail"]}) '
        "{ errors { message } } "
        'consentRecord(input: {externalId: "a", purpose: "mail", action: GRANT, source: "form", '
        'effectiveAt: "2024-01-01T00:00:00Z"}) { errors { message } } }',
    )
    done = command(data, "run", "out", "--follow")
    assert (done.returncode, "SUCCEEDED" in done.stdout) == (0, True), done.stdout + done.stderr
    assert command(data, "backup", str(kept)).returncode == 0
    assert stat.S_IMODE(kept.stat().st_mode) & 0o077 == 0
    query(
        data,
        'mutation { consentRecord(input: {externalId: "a", purpose: "mail", action: WITHDRAW, source: "call"}) '
        "{ errors { message } } }",
    )
    restored = command(data, "restore", str(kept))
    assert restored.returncode == 0, restored.stderr
    assert "withdraw" in (restored.stdout + restored.stderr).lower()
    (data / "secret.key").rename(tmp_path / "secret.key")
    lost = command(data, "query", "{ __typename }")
    assert (lost.returncode, "HUB_SECRET_KEY" in lost.stderr) == (1, True)
    (tmp_path / "secret.key").rename(data / "secret.key")
    found = query(
        data,
        '{ profiles { totalCount } segment(key: "all") { rule } profile(externalId: "a") { consents { state } } }',
    )
    assert found["profiles"]["totalCount"] == 2
    assert found["segment"] == {"rule": "everyone"}
    assert found["profile"]["consents"] == [{"state": "WITHDRAWN"}]


def test_a_restore_beside_a_running_hub_is_refused(hub: Hub, tmp_path: Path) -> None:
    kept = tmp_path / "live.backup"
    assert command(hub.data, "backup", str(kept)).returncode == 0
    assert command(hub.data, "backup", str(kept)).returncode == 1
    refused = command(hub.data, "restore", str(kept))
    assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)
    assert hub.client.get("/readyz").status_code == 200


def test_wrong_usage_ends_with_2_and_help_with_0(data: Path) -> None:
    shown = command(data, "--help")
    assert shown.returncode == 0
    for word in ("serve", "worker", "migrate", "import", "query", "run", "connectors", "backup", "restore", "token"):
        assert word in shown.stdout
    assert command(data, "import", "orders", "x.csv").returncode == 2
    assert command(data, "frobnicate").returncode == 2
    missing = command(data, "import", "profiles", "nowhere.csv")
    assert (missing.returncode, "nowhere.csv" in missing.stderr) == (1, True)


@pytest.mark.slow
def test_a_hub_that_was_killed_comes_back_with_what_it_answered(tmp_path: Path) -> None:
    data = tmp_path / "killed"
    with serving(data) as hub:
        hub.create("purpose", key="mail", name="Mail")
        hub.people([{"id": "k1"}, {"id": "k2"}])
        hub.grant("mail", "k1")
        hub.create("segment", key="all", rule="everyone")
        os.kill(hub.process.pid, 9)
        hub.process.wait(PATIENCE_S)
    with serving(data) as hub:
        assert hub.ask('{ profiles { totalCount } segment(key: "all") { evaluation { size } } }') == {
            "profiles": {"totalCount": 2},
            "segment": {"evaluation": {"size": 2}},
        }
        found = hub.profile("k1", "consents { state }")
        assert found == {"consents": [{"state": "GRANTED"}]}

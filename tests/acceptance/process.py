"""A `hub serve` of one's own, and a client that knows only its address and token."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

TOKEN = "acceptance-3f0c1b7d92"
COMMAND = Path(sys.executable).with_name("hub")
ENDED = {"SUCCEEDED", "PARTIAL", "FAILED", "CANCELLED"}
TYPES = {"csv": "text/csv", "ndjson": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}
PROBLEM = "errors { code message path line column suggestion }"
COUNTS = "members unchanged added updated rejected withheld pending leavers removed removeRejected removePending"
RUN = (
    f"id cause status counts {{ {COUNTS} }} withheld {{ reason count }} failure {{ code message }} startedAt finishedAt"
)
# Enough for whatever must come to pass, however busy the machine is.
PATIENCE_S = 120.0


def environment(data: Path, **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
    return {**clean, "HUB_DATA": str(data), "HUB_LOG_LEVEL": "debug", **more}


def command(data: Path, *words: str, stdin: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `hub …` to its end."""
    return subprocess.run(
        [COMMAND, *words],
        env=environment(data, **more),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE_S,
        check=False,
    )


@dataclass
class Hub:
    data: Path
    url: str
    process: subprocess.Popen[bytes]
    log: Path
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=2 * PATIENCE_S, trust_env=False
        )

    def post(self, query: str, **variables: Any) -> httpx.Response:
        return self.client.post("/graphql", json={"query": query, "variables": variables})

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of a query that has to work."""
        answer = self.post(query, **variables)
        assert answer.status_code == 200, answer.text
        said = answer.json()
        assert "errors" not in said, said["errors"]
        return said["data"]

    def errors(self, query: str, **variables: Any) -> list[dict[str, Any]]:
        """The errors at the top of an answer."""
        return self.post(query, **variables).json().get("errors", [])

    def do(self, mutation: str, signature: str, chosen: str, **variables: Any) -> dict[str, Any]:
        """The payload of one mutation: `signature` is its GraphQL arguments, such as `$key: String!`."""
        names = [part.split(":")[0].strip(" $") for part in signature.split(",")]
        passed = ", ".join(f"{name}: ${name}" for name in names)
        text = f"mutation({signature}) {{ {mutation}({passed}) {{ {chosen} {PROBLEM} }} }}"
        return self.ask(text, **variables)[mutation]

    def create(self, noun: str, **given: Any) -> dict[str, Any]:
        """Create a purpose, segment, destination or sync that has to be accepted."""
        payload = self.try_create(noun, **given)
        assert payload["errors"] == [], payload["errors"]
        return payload[noun]

    def try_create(self, noun: str, **given: Any) -> dict[str, Any]:
        kind = f"{noun.capitalize()}CreateInput!"
        given.setdefault("name", given.get("key", "")) if noun != "sync" else None
        return self.do(f"{noun}Create", f"$input: {kind}", f"{noun} {{ id key }}", input=given)

    def update(self, noun: str, key: str, **given: Any) -> dict[str, Any]:
        signature = f"$key: String!, $input: {noun.capitalize()}UpdateInput!"
        return self.do(f"{noun}Update", signature, f"{noun} {{ id key }}", key=key, input=given)

    def consent(self, **given: Any) -> dict[str, Any]:
        given.setdefault("source", "form")
        if given.get("action") == "GRANT":
            given.setdefault("effectiveAt", "2024-01-01T00:00:00Z")
        chosen = "consent { purpose state source recordedAt expiresAt }"
        return self.do("consentRecord", "$input: ConsentRecordInput!", chosen, input=given)

    def send(self, kind: str, body: str | bytes, form: str = "csv", **options: Any) -> httpx.Response:
        content = body if isinstance(body, bytes) else body.encode()
        return self.client.post(
            f"/import/{kind}", content=content, headers={"Content-Type": TYPES[form]}, params=options
        )

    def take_in(self, kind: str, body: str | bytes, form: str = "csv", **options: Any) -> dict[str, Any]:
        """The report of an import that has to be taken."""
        answer = self.send(kind, body, form, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def people(self, rows: list[Mapping[str, Any]]) -> dict[str, Any]:
        return self.take_in("profiles", "\n".join(json.dumps(row) for row in rows), "ndjson")

    def grant(self, purpose: str, *people: str) -> None:
        rows = [f"{person},{purpose},grant,form,2024-01-01T00:00:00Z" for person in people]
        report = self.take_in("consents", "\n".join(["id,purpose,action,source,effective_at", *rows]))
        assert report["rejected"] == 0, report

    def start(self, sync: str, as_of: str | None = None) -> dict[str, Any]:
        payload = self.do("syncRun", "$key: String!, $asOf: DateTime", f"run {{ {RUN} }}", key=sync, asOf=as_of)
        assert payload["errors"] == [], payload["errors"]
        return payload["run"]

    def run(self, sync: str, as_of: str | None = None) -> dict[str, Any]:
        """A run of a sync, from its start to its end or to the brake."""
        return self.ended(self.start(sync, as_of)["id"])

    def ended(self, run: str) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            now = self.ask(f"query($id: ID!) {{ run(id: $id) {{ {RUN} }} }}", id=run)["run"]
            return now if now["status"] in {*ENDED, "WAITING_APPROVAL"} else None

        return until(found)

    def runs(self, sync: str) -> list[dict[str, Any]]:
        """Newest first."""
        found = self.ask(f"query($key: String!) {{ sync(key: $key) {{ runs {{ nodes {{ {RUN} }} }} }} }}", key=sync)
        return found["sync"]["runs"]["nodes"]

    def forget_syncs(self) -> None:
        """Every sync looks at every change: those of tests that are over would only cost time."""
        for sync in self.ask("{ syncs { nodes { key } } }")["syncs"]["nodes"]:
            self.ask("mutation($k: String!) { syncDelete(key: $k, leave: true) { errors { code } } }", k=sync["key"])

    def delivered(self, sync: str) -> int:
        return self.ask("query($key: String!) { sync(key: $key) { delivered } }", key=sync)["sync"]["delivered"]

    def profile(self, external_id: str, chosen: str) -> dict[str, Any] | None:
        return self.ask(f"query($id: String!) {{ profile(externalId: $id) {{ {chosen} }} }}", id=external_id)["profile"]

    def traits_of(self, external_id: str) -> dict[str, Any]:
        found = self.profile(external_id, "traits")
        assert found is not None
        return found["traits"]


def until(found: Any, patience_s: float = PATIENCE_S) -> Any:
    """What `found` gives, as soon as it gives anything."""
    deadline = time.monotonic() + patience_s
    while not (got := found()):
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.1)
    return got


@contextmanager
def serving(data: Path, *, watched_by: Sequence[str] = (), **more: str) -> Iterator[Hub]:
    """A hub on a free port of loopback, stopped by its own process id; `watched_by` comes before its command."""
    log = data.parent / f"{data.name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*watched_by, COMMAND, "serve", "--port", "0"],
            env=environment(data, **{"HUB_ADMIN_TOKEN": TOKEN, **more}),
            stdout=output,
            stderr=output,
        )
    try:
        hub = Hub(data, until(lambda: _address(data, process, log), 2 * PATIENCE_S), process, log)
        until(lambda: _ready(hub))
        with contextlib.closing(hub.client):
            yield hub
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _address(data: Path, process: subprocess.Popen[bytes], log: Path) -> str | None:
    assert process.poll() is None, log.read_text()
    try:
        left = json.loads((data / "server.json").read_text())
    except (OSError, ValueError):
        return None
    return left["url"] if left["pid"] == process.pid else None


def _ready(hub: Hub) -> bool:
    try:
        return hub.client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False

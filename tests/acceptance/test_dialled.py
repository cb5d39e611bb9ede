"""Whom a hub dials, as the kernel sees it (row P27): those whom it was told to, and nobody else."""

from __future__ import annotations

import re
from pathlib import Path

from tests.acceptance.process import serving
from tests.acceptance.sink import Sink
from tests.failing_disk import tracer

DIALLED = re.compile(r"sa_family=(AF_INET6?), sin6?_port=htons\((\d+)\).*?\"([0-9a-f.:]+)\"")


def test_a_hub_that_imports_evaluates_and_sends_dials_its_destination_and_nobody_else(
    tmp_path: Path, sink: Sink
) -> None:
    seen = tmp_path / "connects"
    # As a grandchild, so that the hub itself is our child.
    watching = [tracer(), "-D", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect", "-o", str(seen)]
    with serving(tmp_path / "data", watched_by=watching, HUB_EGRESS_ALLOW=f"127.0.0.1:{sink.port}") as hub:
        hub.create("purpose", key="mail")
        hub.people([{"id": "ann", "email": "ann@example.com", "phone": "+4915112345678"}])
        hub.take_in("events", "profile_id,ts,name\nann,2024-01-01T00:00:00Z,purchase\n")
        hub.grant("mail", "ann")
        hub.create("segment", key="all", rule="did(purchase)")
        hub.create("destination", key="shop", connector="webhook", config=sink.config)
        hub.create("sync", key="alone", segment="all", destination="shop", audience="alone", purposes=["mail"])
        assert hub.run("alone")["status"] == "SUCCEEDED"
        assert hub.client.get("/graphql", headers={"Accept": "text/html"}).status_code == 200
    dialled = {(family, int(port), address) for family, port, address in DIALLED.findall(seen.read_text())}
    assert dialled == {("AF_INET", sink.port, "127.0.0.1")}

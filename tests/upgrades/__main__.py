"""Makes a hub of an older version, to be kept in `hubs` and migrated by the tests: `python -m tests.upgrades TREE`.

    git worktree add --detach /tmp/older COMMIT
    .venv/bin/python -m tests.upgrades /tmp/older

TREE is a checkout of that version, whose program runs with the packages of this environment; the hub is told all it is
told through its own API. It takes a minute or so, since somebody's requests are tried as often as the hub tries. What
comes out is `hubs/schema-N.tar.xz`: both stores as a kill left them, what the pretend vendor holds, and `made.json`,
which says of which commit it is and when it was made, so that the tests can go on from that moment.

After a change of the schema, run it at the last commit before.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from tests.acceptance.process import PATIENCE_S, Hub, serving, until
from tests.acceptance.sink import Sink, listening
from tests.upgrades.story import (
    CRM,
    DAN,
    EVE,
    FIELDS,
    HUBS,
    INTERRUPTED,
    KEY,
    LATE,
    NEVER_ANSWERED,
    PEOPLE,
    PURCHASES,
    REX,
    SEGMENTS,
    SHOP,
    SLOW,
    UNA,
    UNANSWERED,
    WAITING,
    WIM,
)

# Of the batches for the pretend vendor: the hub dies after it has sent that one, before it has noted so.
DIES_AT = 8
# What only the process that died had a use for.
LEFT_OUT = {"server.json", "hub.db-shm"}


def main(tree: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, listening() as sink:
        data = Path(folder) / "data"
        older = {"HUB_SECRET_KEY": KEY, "PYTHONPATH": str(tree), "HUB_EGRESS_ALLOW": f"127.0.0.1:{sink.port}"}
        with serving(data, **older) as hub:
            furnish(hub, sink)
            decide(hub)
            settle(hub, sink)
        with serving(data, HUB_FAILPOINT=f"after_send_before_commit:kill:{DIES_AT}", **older) as hub:
            leave_in_the_middle(hub)
        pack(data, tree)


def furnish(hub: Hub, sink: Sink) -> None:
    """People with what they did, segments of them, and where these go."""
    hub.people(PEOPLE)
    lately = (datetime.now(UTC) - timedelta(days=10)).isoformat()
    hub.take_in("events", "\n".join(json.dumps({**one, "ts": lately}) for one in PURCHASES), "ndjson")
    for purpose in ("mail", "ads"):
        hub.create("purpose", key=purpose)
    for key, rule in SEGMENTS.items():
        hub.create("segment", key=key, rule=rule)
    hub.create("destination", key="shop", connector="webhook", config=sink.config)
    hub.create("destination", key="crm", connector="sandbox", config=CRM)
    for key in (SHOP, UNANSWERED, INTERRUPTED):
        create_sync(hub, key, fields=FIELDS)


def create_sync(hub: Hub, key: str, **more: Any) -> None:
    segment, destination = key.split("-to-")
    hub.create("sync", key=key, segment=segment, destination=destination, audience=key, purposes=["mail"], **more)


def decide(hub: Hub) -> None:
    hub.grant("mail", *(one["id"] for one in PEOPLE if one["id"] not in {DAN, UNA}))
    hub.consent(externalId=DAN, purpose="mail", action="DENY")
    # Said under an address that is no longer theirs.
    hub.consent(identifierKind="email", identifier=f"{EVE}@example.com", purpose="mail", action="DENY")
    hub.people([{"id": EVE, "email": f"{EVE}.new@example.com"}])
    hub.consent(externalId="r01", purpose="ads", action="GRANT", expiresAt="2999-01-01T00:00:00Z")
    hub.consent(externalId="r02", purpose="ads", action="GRANT", expiresAt="2025-01-01T00:00:00Z")


def settle(hub: Hub, sink: Sink) -> None:
    """A run that has ended well but for one who is refused, somebody who withdrew after it, and one whose requests
    nobody answered."""
    sink.rejects[REX] = "not to our taste"
    hub.run(SHOP)
    hub.consent(externalId=WIM, purpose="mail", action="WITHDRAW")
    until(lambda: len(hub.runs(SHOP)) == 2 and hub.runs(SHOP)[0]["status"] == "SUCCEEDED")
    assert WIM not in sink.held(SHOP)
    sink.answers.extend([(500, b"", {})] * NEVER_ANSWERED)
    hub.run(UNANSWERED)
    assert hub.profile(LATE, "deliveries { state }") == {"deliveries": [{"state": "POSSIBLY_PRESENT"}]}


def leave_in_the_middle(hub: Hub) -> None:
    """A run that dies in the middle, and where the version knows jobs, beside it one that waits for the vendor's."""
    if not hub.try_create("destination", key="slow", connector="sandbox", config=SLOW)["errors"]:
        create_sync(hub, WAITING)
        hub.start(WAITING)
        until((hub.data / "files" / SLOW["state_file"]).exists)
    hub.start(INTERRUPTED)
    hub.process.wait(PATIENCE_S)


def pack(data: Path, tree: Path) -> None:
    """What a copy of the folder would hold, and when it was made by what."""
    commit = subprocess.run(["git", "-C", tree, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
    made = {"commit": commit.strip(), "schema": schema_of(data), "made_at": datetime.now(UTC).isoformat()}
    (data / "made.json").write_text(json.dumps(made) + "\n")
    packed = HUBS / f"schema-{made['schema']}.tar.xz"
    with tarfile.open(packed, "w:xz", preset=9) as archive:
        for path in sorted(data.iterdir()):
            if path.name not in LEFT_OUT:
                archive.add(path, path.name, filter=nobodys)
    print(f"{packed} has {packed.stat().st_size:,} bytes.")


def schema_of(data: Path) -> int:
    # Of a copy: whoever opens the file tidies it up.
    aside = shutil.copytree(data, data.with_name("aside"))
    with duckdb.connect(str(aside / "hub.duckdb")) as plane:
        [(found,)] = plane.execute("SELECT value FROM meta WHERE key = 'schema'").fetchall()
    return int(found)


def nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    return entry.replace(uid=0, gid=0, uname="", gname="", deep=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())

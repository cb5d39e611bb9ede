"""Commands that ask a hub: the running one over HTTP, or the stores themselves where none runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hub.cli.printing import bar, print_counts, print_problems, print_table
from hub.cli.remote import Asked, Remote, problem_of, running
from hub.errors import ErrorCode, HubError, refuse
from hub.settings import Settings, read_settings

PEOPLE = (
    "added",
    "updated",
    "removed",
    "unchanged",
    "rejected",
    "withheld",
    "pending",
    "removeRejected",
    "removePending",
)
RUN = (
    f"id status counts {{ members leavers {' '.join(PEOPLE)} }} withheld {{ reason count }} failure {{ code message }} "
    "approvalReasons"
)
ENDED = ("SUCCEEDED", "PARTIAL", "FAILED", "CANCELLED")
BAD_ENDS = ("FAILED", "CANCELLED")
EVERY_S = 0.3


@contextmanager
def a_hub(*, working: bool = False) -> Iterator[Asked]:
    """The hub to ask; `working` when it also has to carry out what it is asked."""
    settings = read_settings()
    if address := running(settings):
        yield Remote(address)
        return
    from hub.cli.direct import Direct
    from hub.logs import configure_logs

    configure_logs("error")
    with Direct(settings, working=working) as hub:
        yield hub


def import_file(kind: str, file: Path, mapping: list[str], *, snapshot: bool, approve: bool) -> None:
    """Print the counts, and each rejected line on standard error; fails when nothing at all went in."""
    if not file.is_file():
        raise refuse(ErrorCode.NOT_FOUND, f"There is no file {file}.", "FILE")
    with a_hub() as hub, bar(f"Importing {kind}") as progress:
        counts = hub.import_file(kind, file, mapping=mapping, snapshot=snapshot, approve=approve, report=progress.show)
    for one in counts["rejections"]:
        where = f"line {one['line']}" + (f", {one['column']}" if one.get("column") else "")
        print(f"{one['code']}: {one['reason']} ({where})", file=sys.stderr)
    if counts["truncated"]:
        print("… and more; only the first are listed.", file=sys.stderr)
    print_counts({name: counts.get(name, 0) for name in ("accepted", "unchanged", "rejected", "removed")})
    if counts["rejected"] and not counts["accepted"] and not counts["unchanged"]:
        sys.exit(1)


def query(graphql: str, variables: str | None) -> None:
    """Print the answer; fails when it holds errors, its own or a payload's."""
    with a_hub() as hub:
        answer = hub.graphql(graphql, _read_variables(variables))
    print(json.dumps(answer.get("data"), indent=2, ensure_ascii=False))
    if found := [*answer.get("errors", ()), *_payload_errors(answer.get("data"))]:
        print_problems(map(problem_of, found))
        sys.exit(1)


def connectors() -> None:
    """Print what is installed, and what of it cannot be used."""
    settings = read_settings()
    address = running(settings)
    rows = _told_by(Remote(address)) if address else _found_here(settings)
    print_table("Connectors", ("key", "title", "channel", "can"), rows)


Row = tuple[str, str, str, str]


def _told_by(hub: Asked) -> list[Row]:
    asked = "{ connectors { key title channel capabilities } disabledConnectors { key reason } }"
    found = _data(hub.graphql(asked))
    usable = [
        (one["key"], one["title"], one["channel"].lower(), _able(one["capabilities"])) for one in found["connectors"]
    ]
    return usable + [(one["key"], "", "disabled", one["reason"]) for one in found["disabledConnectors"]]


def _found_here(settings: Settings) -> list[Row]:
    """Where no hub runs: what is installed is known without its stores, which are not made for this."""
    from hub.plugins import load_registry

    found = load_registry(settings.connectors)
    usable = sorted(found.connectors.items())
    return [
        *((key, one.title, one.channel.value.lower(), _able(asdict(one.capabilities))) for key, one in usable),
        *((key, "", "disabled", reason) for key, reason in sorted(found.disabled.items())),
    ]


def run(sync: str, *, follow: bool, full: bool) -> None:
    """Start a run, and with `follow` stay until it ends; fails when it failed."""
    asked = f"syncRun(key: $key, full: $full) {{ run {{ {RUN} }} errors {{ {PROBLEM} }} }}"
    with a_hub(working=follow) as hub:
        started = hub.graphql(f"mutation($key: String!, $full: Boolean!) {{ {asked} }}", {"key": sync, "full": full})
        payload = _data(started)["syncRun"]
        if payload["errors"]:
            raise HubError(*map(problem_of, payload["errors"]))
        found = _followed(hub, payload["run"]) if follow else payload["run"]
    _tell(found)


PROBLEM = "code message path line column suggestion"


def _followed(hub: Asked, found: dict[str, Any]) -> dict[str, Any]:
    asked = f"query($id: ID!) {{ run(id: $id) {{ {RUN} }} }}"
    with bar("Run") as progress:
        while found["status"] not in (*ENDED, "WAITING_APPROVAL"):
            hub.wait(EVERY_S)
            found = _data(hub.graphql(asked, {"id": found["id"]}))["run"]
            counts = found["counts"]
            total = counts["members"] + counts["leavers"]
            progress.show(total - counts["pending"] - counts["removePending"], total, found["status"])
    return found


def _tell(found: Mapping[str, Any]) -> None:
    print(f"{found['id']} {found['status']}")
    if found["status"] == "QUEUED":
        print("Stay with it until it ends: hub run SYNC --follow")
        return
    print_counts({name: found["counts"][name] for name in ("members", *PEOPLE)})
    for one in found["withheld"]:
        print(f"withheld {one['reason']}: {one['count']:,}")
    if found["status"] == "WAITING_APPROVAL":
        print(f"waits for approval: {', '.join(found['approvalReasons'])}")
        print(
            f"Approve it with: hub query 'mutation {{ runApprove(id: \"{found['id']}\") {{ errors {{ message }} }} }}'"
        )
    if found["failure"]:
        print_problems([problem_of(found["failure"])])
    if found["status"] in BAD_ENDS:
        sys.exit(1)


def _data(answer: Mapping[str, Any]) -> dict[str, Any]:
    if answer.get("errors"):
        raise HubError(*map(problem_of, answer["errors"]))
    return dict(answer["data"])


def _payload_errors(data: Any) -> Iterator[Mapping[str, Any]]:
    for payload in (data or {}).values():
        if isinstance(payload, dict):
            yield from (error for error in payload.get("errors") or () if isinstance(error, dict))


def _read_variables(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise refuse(ErrorCode.INVALID, "--variables must be a JSON object.", "--variables")
    return found


def _able(capabilities: Mapping[str, Any]) -> str:
    return ", ".join(name for name, able in capabilities.items() if able is True)

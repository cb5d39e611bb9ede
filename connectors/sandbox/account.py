"""What a pretend vendor holds: in memory, and in a journal where it is to outlive the process."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REMEMBERED = 1000


@dataclass(slots=True)
class PretendJob:
    """A call that is carried out when its job is done. `asked` counts the questions of this process."""

    call: dict[str, Any]
    asked: int = 0
    done: bool = False


@dataclass(slots=True)
class PretendAccount:
    """What the vendor holds: audience → person → fields, and the latest calls it has seen; the journal has them all.
    `snapshots` are gathered by audience and run until they are swapped in."""

    audiences: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    snapshots: dict[tuple[str, str], dict[str, dict[str, Any]]] = field(default_factory=dict)
    calls: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    started: int = 0
    journal: Path | None = None
    jobs: dict[str, PretendJob] = field(default_factory=dict)

    def members(self, audience: str) -> set[str]:
        return set(self.audiences.get(audience, ()))

    def next_call(self) -> int:
        self.started += 1
        return self.started

    def record(self, call: dict[str, Any]) -> None:
        """Note a call in memory and, before it counts as answered, in the journal."""
        self.carry_out(call)
        if self.journal is not None:
            with self.journal.open("ab") as journal:
                journal.write(json.dumps(call, separators=(",", ":")).encode() + b"\n")

    def carry_out(self, call: dict[str, Any]) -> None:
        self.calls.append(call)
        if job := call.get("job"):
            self.jobs.setdefault(job, PretendJob(call)).done = call["applied"]
        if call["applied"] and "erase" in call:
            for held in (*self.audiences.values(), *self.snapshots.values()):
                for key in call["erase"]:
                    held.pop(key, None)
        elif call["applied"]:
            gathered = self.snapshots.get((call["audience"], call["run"]))
            held = self.audiences.setdefault(call["audience"], {}) if gathered is None else gathered
            held.update(call["add"])
            for key in call["remove"]:
                held.pop(key, None)

    def replay(self, journal: Path) -> None:
        """Take up where an earlier process stopped, leaving out a line that its death cut short."""
        self.journal = journal
        journal.parent.mkdir(parents=True, exist_ok=True)
        kept = journal.read_bytes() if journal.exists() else b""
        whole = kept[: kept.rfind(b"\n") + 1]
        if whole != kept:
            journal.write_bytes(whole)
        for line in whole.splitlines():
            self.carry_out(json.loads(line))
        self.started = max((call["call"] for call in self.calls), default=0)


_accounts: dict[tuple[str, str], PretendAccount] = {}


def pretend_account(name: str, state_file: Path | None = None) -> PretendAccount:
    """The account of that name in this process, brought up to date from its file when it is first asked for."""
    known = (name, str(state_file or ""))
    if known not in _accounts:
        _accounts[known] = PretendAccount()
        if state_file is not None:
            _accounts[known].replay(state_file)
    return _accounts[known]


def forget(name: str) -> None:
    """Drop the account of that name, as if nothing had ever been sent there."""
    for known in [known for known in _accounts if known[0] == name]:
        del _accounts[known]

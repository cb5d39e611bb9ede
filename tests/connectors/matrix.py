"""Writes `docs/connectors/README.md`, what each connector can do: `python -m tests.connectors.matrix`, with `--check`
to compare only.

Every cell comes from the connector's capabilities, or from the test class that holds it to its promises. Whoever meets
a conflict in that file takes either side and runs this again.
"""

from __future__ import annotations

import inspect
import sys
import tomllib
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from hub.plugins import load_registry
from hub.sdk import Channel, Connector
from hub.sdk.hooks import ENTRY_POINT_GROUP
from hub.sdk.limits import DailyBudget, Gauge, Limit, PerSecond, Remaining, Window
from tests.connectors.proven import Proof, proofs

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "docs/connectors/README.md"
CHANNELS = (Channel.EMAIL, Channel.ADS, Channel.PUSH, Channel.CMS, Channel.GENERIC)
OPENING = """# What each connector can do

This page is made by `make matrix` from what the connectors declare and from the tests that hold them to it. How one
is configured stands on its own page; how to write one, in [writing.md](writing.md). `hub connectors` lists what is
installed.
"""
LIMITED = "\\* or as it is configured. A vendor's pause (`Retry-After` and its like) is kept besides."
PROVEN = """Every promise of the kit that applies to a connector is a test that `make test` runs; the others need what
the vendor cannot do, or HTTP. *Through the hub* says that the whole story of a sync is told with the real hub around it
([proofs](../proofs.md)), and the last column what requests are held against of what the vendor has published."""

Kind = type[Connector[Any]]
Column = tuple[str, Callable[[Kind, Proof], str]]


def main(arguments: Sequence[str]) -> int:
    text = page()
    if "--check" not in arguments:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write("docs/connectors/README.md is out of date: run `make matrix` and commit it.\n")
    return 1


def page() -> str:
    connectors = sorted(declared(), key=lambda kind: (CHANNELS.index(kind.channel), kind.key))
    proven = proofs(connectors)
    parts = [OPENING, _table(ABLE, connectors, proven)]
    parts += ["## How they are sent to\n", _table(SENT, connectors, proven), LIMITED + "\n"]
    parts += ["## How that is known\n", _table(KNOWN, connectors, proven), PROVEN]
    return "\n".join(parts) + "\n"


def declared() -> list[Kind]:
    """The connectors that this tree's own pyproject.toml names, whatever is installed."""
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][ENTRY_POINT_GROUP]
    found = load_registry(found=[EntryPoint(name, module, ENTRY_POINT_GROUP) for name, module in entries.items()])
    assert not found.disabled, found.disabled
    return list(found.connectors.values())


def _table(columns: Sequence[Column], connectors: Iterable[Kind], proven: dict[str, Proof]) -> str:
    lines = [[heading for heading, _ in columns], ["---"] * len(columns)]
    lines += [[cell(kind, proven[kind.key]) for _, cell in columns] for kind in connectors]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _linked(kind: Kind, _: Proof) -> str:
    return f"[{kind.title}]({kind.key}.md)"


def _can(capability: str) -> Callable[[Kind, Proof], str]:
    return lambda kind, _: "yes" if getattr(kind.capabilities, capability) else "–"


def _named_by(kind: Kind, _: Proof) -> str:
    able = kind.capabilities
    return ", ".join(able.identifiers) or able.key + _star(kind, "key")


def _spelled(kind: Kind, _: Proof) -> str:
    """As the hub keeps them, or in the vendor's spelling (and hash)."""
    words = {name.partition(".")[0] for name in kind.capabilities.spellings.values()}
    return ", ".join(sorted(words)) or "–"


def _read_back(kind: Kind, _: Proof) -> str:
    able = kind.capabilities
    return f"by {able.listed_as}" if able.read_back else "their number" if able.counts else "–"


def _signals(kind: Kind, _: Proof) -> str:
    return ", ".join(kind.capabilities.signals) or "–"


def _batch(kind: Kind, _: Proof) -> str:
    return f"{kind.capabilities.batch:,}{_star(kind, 'batch')}"


def _at_once(kind: Kind, _: Proof) -> str:
    return f"{kind.capabilities.concurrency}{_star(kind, 'concurrency')}"


def _limits(kind: Kind, _: Proof) -> str:
    return (", ".join(map(_limit, kind.capabilities.limits)) or "–") + _star(kind, "limits")


def _answers(kind: Kind, _: Proof) -> str:
    able = kind.capabilities
    return f"by a job, within {_span(able.job_deadline_s)}" if able.jobs else "at once"


def _least(kind: Kind, _: Proof) -> str:
    return f"{kind.capabilities.least_audience:,}" if kind.capabilities.least_audience else "–"


def _shows(kind: Kind, _: Proof) -> str:
    return _span(kind.capabilities.effect_within_s) if kind.capabilities.effect_within_s else "–"


def _score(_: Kind, proof: Proof) -> str:
    return f"{proof.kept} of {proof.promises}"


def _through_the_hub(_: Kind, proof: Proof) -> str:
    return "yes" if proof.through_the_hub else "–"


def _described_by(_: Kind, proof: Proof) -> str:
    return proof.described_by or "–"


def _star(kind: Kind, capability: str) -> str:
    """Whether the configuration decides, as the connector's `limits` says."""
    return "\\*" if f"{capability}=" in inspect.getsource(kind.limits) else ""


def _limit(limit: Limit) -> str:
    match limit:
        case PerSecond():
            return f"{limit.rate:g}/s, {limit.burst:,} at once"
        case Window():
            return f"{limit.most:,} in {_span(limit.seconds)}"
        case DailyBudget():
            return f"{limit.most:,} a day"
        case Remaining():
            return f"`{limit.header}`"
        case Gauge():
            return f"`{limit.header}` up to {limit.most:.0%}"


def _span(seconds: float) -> str:
    for name, length in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g} {name}" if seconds != 86_400.0 else "24 h"
    return f"{seconds:g} s"


ABLE: Sequence[Column] = (
    ("", _linked),
    ("people named by", _named_by),
    ("spelled and hashed for", _spelled),
    ("removes", _can("remove")),
    ("replaces whole audiences", _can("replace")),
    ("reads back", _read_back),
    ("erases", _can("erase")),
    ("hears feedback", _can("feedback")),
    ("consent signals", _signals),
)
SENT: Sequence[Column] = (
    ("", _linked),
    ("people in one call", _batch),
    ("calls at once", _at_once),
    ("limits", _limits),
    ("answers", _answers),
    ("least audience", _least),
    ("shows within", _shows),
)
KNOWN: Sequence[Column] = (
    ("", _linked),
    ("promises of the kit", _score),
    ("through the hub", _through_the_hub),
    ("requests held against", _described_by),
)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

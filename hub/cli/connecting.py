"""`hub connector new` and `hub connector check`, for whoever writes a connector."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path

from hub.plugins import load_registry
from hub.sdk.hooks import ENTRY_POINT_GROUP
from hub.sdk.scores import Kept, Promise, ScoreCard, score_connector, score_folder
from hub.sdk.starter import start

WORDS = {Kept.KEPT: "kept", Kept.BROKEN: "broken", Kept.DOES_NOT_APPLY: "not applicable"}


def new(name: str, title: str, into: Path) -> None:
    """Begin a connector's package, and say what to do with it."""
    # Source code is for others too, unlike what else this command line writes.
    os.umask(0o022)
    folder = start(name, into, title=title, taken=_installed())
    print(f"{folder} holds a connector that works, against a vendor that does not exist. Next:\n")
    print(f"  cd {folder}")
    print("  pip install --editable '.[testing]'")
    print("  hub connector check .\n")
    print("Its README says how to make it your vendor's.")


def check(name: str) -> None:
    """Print what a connector promises and keeps; fails where one is broken, or the hub cannot use it."""
    in_folder = Path(name).is_dir() and name not in _installed()
    cards = score_folder(Path(name).resolve()) if in_folder else score_connector(load_registry().find(name))
    for card in cards:
        _show(card)
    unusable = [card for card in cards if in_folder and _is_unusable(card.connector)]
    broken = [one for card in cards for group in card.groups.values() for one in group if one.kept is Kept.BROKEN]
    if broken:
        print(f"With the whole traceback, in its folder: pytest -k test_{broken[0].name.replace(' ', '_')}")
    if broken or unusable:
        sys.exit(1)


def _is_unusable(key: str) -> bool:
    """Whether the hub, which finds connectors by their entry points, cannot use this one; said either way."""
    registry = load_registry()
    if key in registry.disabled:
        print(f"The hub cannot use it: {registry.disabled[key]}\n")
    elif key not in registry.connectors:
        print("The hub does not find it yet: pip install --editable . in its folder, once.\n")
    return key in registry.disabled


def _installed() -> set[str]:
    return {point.name for point in entry_points(group=ENTRY_POINT_GROUP)}


def _show(card: ScoreCard) -> None:
    print(f"{card.title} ({card.connector}): {_counted(card.promises)}\n")
    for group, promises in card.groups.items():
        print(f"  {group:<18}{_counted(promises)}")
        for line in (*_broken(promises), *_inapplicable(promises)):
            print(f"    {line}")
    print()


def _broken(promises: Sequence[Promise]) -> Iterator[str]:
    """One fault a line, however many promises it breaks."""
    broken: dict[tuple[str, str], list[str]] = {}
    for one in promises:
        if one.kept is Kept.BROKEN:
            broken.setdefault((one.why, one.where), []).append(one.name)
    for (why, where), (name, *others) in broken.items():
        more = f" (and {len(others)} more)" if others else ""
        yield f"broken: {name}{more}: {why}" + (f" ({where})" if where else "")


def _inapplicable(promises: Sequence[Promise]) -> Iterator[str]:
    for why, times in Counter(one.why for one in promises if one.kept is Kept.DOES_NOT_APPLY).items():
        yield f"does not apply: {why}" + (f" ({times} promises)" if times > 1 else "")


def _counted(promises: Sequence[Promise]) -> str:
    counts = Counter(one.kept for one in promises)
    return ", ".join(f"{counts[kept]} {word}" for kept, word in WORDS.items() if counts[kept])

"""`hub connector new` and `hub connector check`, for whoever writes a connector."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
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
    """Print what a connector promises and keeps; fails where it breaks a promise."""
    if Path(name).is_dir() and name not in _installed():
        cards = score_folder(Path(name).resolve())
    else:
        cards = score_connector(load_registry().find(name))
    for card in cards:
        _show(card)
    if any(one.kept is Kept.BROKEN for card in cards for one in card.promises):
        sys.exit(1)


def _installed() -> set[str]:
    return {point.name for point in entry_points(group=ENTRY_POINT_GROUP)}


def _show(card: ScoreCard) -> None:
    print(f"{card.title} ({card.connector}): {_counted(card.promises)}\n")
    for group, promises in card.groups.items():
        print(f"  {group:<18}{_counted(promises)}")
        for one in promises:
            if one.kept is Kept.BROKEN:
                print(f"    broken: {one.name}: {one.why}")
        for why, times in Counter(one.why for one in promises if one.kept is Kept.DOES_NOT_APPLY).items():
            print(f"    does not apply: {why}" + (f" ({times} promises)" if times > 1 else ""))
    print()


def _counted(promises: Sequence[Promise]) -> str:
    counts = Counter(one.kept for one in promises)
    return ", ".join(f"{counts[kept]} {word}" for kept, word in WORDS.items() if counts[kept])

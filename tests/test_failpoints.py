from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import hub
from hub.failpoints import NAMES

SCRIPT = "from hub.failpoints import failpoint\nfor _ in range(3): failpoint('before_plan'); print('passed')"


def passing(wish: str | None) -> subprocess.CompletedProcess[str]:
    environment = {"HUB_FAILPOINT": wish} if wish else {}
    return subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=30)


def test_without_the_environment_nothing_happens() -> None:
    assert passing(None).stdout.count("passed") == 3


def test_kill_dies_at_the_place_as_often_as_asked() -> None:
    assert passing("before_plan:kill").returncode == -signal.SIGKILL
    assert passing("before_plan:kill:3").stdout.count("passed") in {0, 2}
    assert passing("after_plan:kill").stdout.count("passed") == 3


def test_raise_raises() -> None:
    assert "FailpointHit" in passing("before_plan:raise").stderr


def test_every_named_failpoint_stands_somewhere_in_the_code() -> None:
    root = Path(hub.__file__).parent
    placed = re.findall(r'failpoint\("(\w+)"\)', "".join(path.read_text() for path in root.rglob("*.py")))
    assert set(placed) == NAMES

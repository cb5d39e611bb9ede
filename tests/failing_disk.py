"""A process for whose files the disk fails: from each thread's nth call on, the kernel answers EIO."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

SYNCS, WRITES = "fsync,fdatasync", "write,pwrite64,ftruncate"


def failing(command: Iterable[str | Path], files: Iterable[Path], calls: str, nth: int) -> list[str]:
    """The command with such a disk: `calls` about these files fail, in each of its threads from the nth on."""
    paths = [word for file in files for word in ("-P", str(file))]
    inject = ["-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO:when={nth}+"]
    # Each call that fails is written down where nobody looks.
    return [tracer(), "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", *paths, *inject, *map(str, command)]


def tracer() -> str:
    """The tool that sees what a process asks of the kernel; skips where there is none."""
    found = shutil.which("strace")
    if not found or subprocess.run([found, "-f", "-qq", "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace is missing or may trace nothing here")
    return found

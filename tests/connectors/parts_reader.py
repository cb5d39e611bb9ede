"""Whoever reads runs that were stored in parts: goes by the manifests alone, in the order of the runs' numbers."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping
from typing import Any


def manifests(stored: Mapping[str, bytes], folder: str) -> dict[str, dict[str, Any]]:
    """Every run's manifest by its folder, the lowest number first: runs may overlap, and end in another order."""
    paths = [path for path in stored if path.startswith(f"{folder}/") and path.endswith("/manifest.json")]
    found = {path.removesuffix("/manifest.json"): json.loads(stored[path]) for path in paths}
    return dict(sorted(found.items(), key=lambda one: int(one[1]["run"].removeprefix("run-"))))


def rows(stored: Mapping[str, bytes], folder: str, manifest: Mapping[str, Any]) -> list[dict[str, str]]:
    read: list[dict[str, str]] = []
    for part in manifest["files"]:
        content = stored[f"{folder}/{part['file']}"]
        assert hashlib.sha256(content).hexdigest() == part["sha256"]
        lines = list(csv.DictReader(content.decode().splitlines()))
        assert len(lines) == part["row_count"]
        read += lines
    assert len(read) == manifest["row_count"]
    return read


def members(stored: Mapping[str, bytes], folder: str) -> set[str]:
    present: set[str] = set()
    for run, manifest in manifests(stored, folder).items():
        read = rows(stored, run, manifest)
        if manifest["mode"] == "snapshot":
            present = {row["id"] for row in read}
            continue
        present |= {row["id"] for row in read if row["audience_action"] == "true"}
        present -= {row["id"] for row in read if row["audience_action"] == "false"}
    return present

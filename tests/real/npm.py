"""Projects from the npm registry, each in a folder of its own, with a Node of their own: what a machine has is often
too old, and native parts must be built by the very Node that loads them."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.real.servers import FOLDER, CannotBeHad

# CI, which has half an hour in all, does it beside the tests.
LONGEST_FETCH_S = 900
NODE, NPM = "22.23.3", "10.9.4"


@dataclass(frozen=True)
class Project:
    """`overrides` replace packages however deep they are asked for."""

    name: str
    packages: Mapping[str, str]
    overrides: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    @property
    def manifest(self) -> str:
        said = {"name": f"real-{self.name}", "private": True, "dependencies": self.packages}
        return json.dumps({**said, "overrides": self.overrides}, indent=1)

    @property
    def fetched(self) -> bool:
        note = self.folder / ".fetched"
        return note.exists() and note.read_text() == self.manifest

    def command(self, name: str) -> Path:
        return self.folder / "node_modules/.bin" / name


# The package `node` picks this one by an install script, which newer npms do not run unasked.
BUILT = f"node-{platform.system().lower()}-{'arm64' if platform.machine() in {'aarch64', 'arm64'} else 'x64'}"
NODES = Project("node", {BUILT: NODE, "npm": NPM})
DIRECTUS = Project(
    "directus",
    {"directus": "11.17.4"},
    # From 6 on it comes built; 5 takes minutes of compiling. Directus loads it for operations that nobody runs here.
    {"isolated-vm": "6.1.2"},
)
WORDPRESS = Project("wordpress", {"@wp-playground/cli": "3.1.56", "@wp-playground/wordpress-builds": "0.9.19"})
UNLEASH = Project("unleash", {"unleash-server": "8.2.0"})
# The largest last, where time may run out.
PROJECTS = (UNLEASH, WORDPRESS, DIRECTUS)


def prepare(project: Project) -> bool:
    """Whether anything had to be fetched."""
    if project.fetched and NODES.fetched:
        return False
    if not NODES.fetched:
        npm = shutil.which("npm")
        if npm is None:
            raise CannotBeHad("npm is not installed")
        _fetch(NODES, [npm])
    if not project.fetched:
        _fetch(project, [str(node()), str(NODES.folder / "node_modules/npm/bin/npm-cli.js")])
    return True


def insist_on(project: Project) -> Project:
    if not (project.fetched and NODES.fetched):
        raise CannotBeHad(f"{project.name} is not fetched: make real")
    return project


def node() -> Path:
    return NODES.folder / "node_modules" / BUILT / "bin/node"


def at_home() -> dict[str, str]:
    """The environment in which that Node finds itself and its headers first."""
    path = f"{node().parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "npm_config_nodedir": str(node().parents[1])}


def _fetch(project: Project, npm: list[str]) -> None:
    project.folder.mkdir(parents=True, exist_ok=True)
    (project.folder / "package.json").write_text(project.manifest)
    words = ["install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
    environment = os.environ if project is NODES else {**os.environ, **at_home()}
    told = {"cwd": project.folder, "env": environment, "capture_output": True, "text": True, "timeout": LONGEST_FETCH_S}
    try:
        ended = subprocess.run([*npm, *words], **told)
    except subprocess.TimeoutExpired:
        raise CannotBeHad(f"npm took longer than {LONGEST_FETCH_S} seconds") from None
    if ended.returncode:
        raise CannotBeHad(f"npm ended with {ended.returncode}: {(ended.stderr or ended.stdout)[-1500:]}")
    (project.folder / ".fetched").write_text(project.manifest)

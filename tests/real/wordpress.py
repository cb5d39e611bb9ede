"""A WordPress of its own, in PHP that runs in Node (WordPress Playground), with the hub's plugin in its place."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx

from tests.postgres_server import free_port
from tests.real.npm import WORDPRESS, at_home, insist_on
from tests.real.servers import ROOT, answers_200, running

HERE = Path(__file__).parent
BUILDS = "node_modules/@wp-playground/wordpress-builds/src/wordpress"
RELEASE = "wp-6.5.zip"
USERS = {"hub": "hub", "nobody": "subscriber", **dict.fromkeys(("ann", "bob", "cem"), "subscriber")}


@dataclass(frozen=True)
class RealWordPress:
    """`passwords` are application passwords, by login."""

    url: str
    ids: Mapping[str, int]
    passwords: Mapping[str, str]

    def users(self) -> list[dict[str, Any]]:
        """Every user as the site keeps them, with all their meta."""
        return _asked("GET", f"{self.url}/testing/v1/users")  # type: ignore[no-any-return]


@contextmanager
def wordpress(folder: Path) -> Iterator[RealWordPress]:
    project, port = insist_on(WORDPRESS), free_port()
    plugins = folder / "mu-plugins"
    plugins.mkdir()
    for plugin in (ROOT / "deploy/wordpress/audience-hub.php", HERE / "site/testing.php"):
        shutil.copy(plugin, plugins)
    url = f"http://127.0.0.1:{port}/wp-json"
    with _served(project.folder / BUILDS) as releases:
        words = ["server", "--port", port, "--workers=6", f"--wp={releases}/{RELEASE}", "--mount-dir", plugins]
        command = [project.command("wp-playground-cli"), *map(str, words), "/wordpress/wp-content/mu-plugins"]
        # It keeps a copy of the release in the home folder: let that be ours.
        settings = {**at_home(), "HOME": str(folder), "NODE_OPTIONS": f"--require={HERE / 'loopback.cjs'}"}
        with running(command, answers_200(f"{url}/"), folder / "log", **settings):
            yield RealWordPress(url, **_asked("POST", f"{url}/testing/v1/prepare", json={"users": USERS}))


def _asked(method: str, url: str, **request: Any) -> Any:
    answer = httpx.request(method, url, timeout=120, trust_env=False, **request)
    assert answer.status_code == 200, answer.text
    return answer.json()


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """The folder on loopback: Playground takes a release from an address only."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass

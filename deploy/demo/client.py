"""A small client of the hub's public interface; the demo uses nothing else."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ENDED = {"SUCCEEDED", "PARTIAL", "FAILED", "CANCELLED", "WAITING_APPROVAL"}

RUN = """id status counts { members unchanged added updated rejected withheld pending leavers removed removePending }
         withheld { reason count } failure { message }"""


class RefusedError(Exception):
    """The hub answered with errors: their messages."""


class Client:
    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of one request; raises RefusedError for any error, of GraphQL's or of a payload's."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        answer = self.post("/graphql", body, "application/json")
        errors = answer.get("errors") or [e for p in answer["data"].values() if p for e in _errors(p)]
        if errors:
            raise RefusedError("; ".join(error["message"] for error in errors))
        return answer["data"]

    def import_file(self, kind: str, path: Path) -> dict[str, Any]:
        return self.post(f"/import/{kind}", path.read_bytes(), "text/csv")

    def run(self, sync: str, as_of: str) -> dict[str, Any]:
        """Start a run with the rule's clock at `as_of` and follow it to its end; the run."""
        query = f"""mutation($k: String!, $t: DateTime) {{
                      syncRun(key: $k, asOf: $t) {{ run {{ {RUN} }} errors {{ message }} }} }}"""
        return self.follow(self.graphql(query, k=sync, t=as_of)["syncRun"]["run"])

    def approve(self, run: dict[str, Any]) -> dict[str, Any]:
        query = f"mutation($id: ID!) {{ runApprove(id: $id) {{ run {{ {RUN} }} errors {{ message }} }} }}"
        return self.follow(self.graphql(query, id=run["id"])["runApprove"]["run"], approved=True)

    def follow(self, run: dict[str, Any], *, approved: bool = False) -> dict[str, Any]:
        waiting = ENDED - {"WAITING_APPROVAL"} if approved else ENDED
        while run["status"] not in waiting:
            time.sleep(0.05)
            run = self.graphql(f"query($id: ID!) {{ run(id: $id) {{ {RUN} }} }}", id=run["id"])["run"]
        return run

    def post(self, path: str, body: bytes, content_type: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content_type}
        request = urllib.request.Request(self.url + path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise RefusedError(f"{path} answered {error.code}: {error.read().decode()[:500]}") from None


def _errors(payload: Any) -> list[dict[str, Any]]:
    return payload.get("errors") or [] if isinstance(payload, dict) else []

"""Klaviyo as it behaves: profiles with ids of its own, lists, import jobs that take their time and fail in part."""

from __future__ import annotations

import hmac
import json
import re
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import httpx

from hub.sdk import Inbound, Notice
from hub.sdk.contract import Audience
from hub.sdk.testing import HttpVendor, json_body

API = "https://a.klaviyo.com/api"
KEY = "pk_0123456789abcdef"
SECRET = "whsec-of-klaviyo-0123456789"
WEBHOOK = "01KP4928STE8FKCWB6WDHZ4ZB7"
TOPICS = {
    Notice.UNSUBSCRIBED: "event:klaviyo.unsubscribed_from_email_marketing",
    Notice.BOUNCED: "event:klaviyo.bounced_email",
    Notice.COMPLAINED: "event:klaviyo.marked_email_as_spam",
}


class FakeKlaviyo(HttpVendor):
    """`names_profiles_only` makes its webhooks tell the profile's id instead of the address. Jobs are over when they
    are asked after for the second time, unless it `dawdles`."""

    names_profiles_only = False

    def __init__(self) -> None:
        super().__init__()
        self.profiles: dict[str, dict[str, Any]] = {}
        self.lists: dict[str, dict[str, Any]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.made = 0
        self.cancels = False
        self.dawdles = False

    def know(self, key: str, subscription: str = "subscribed") -> None:
        if key not in self.subscriptions:
            self._make({"email": key})
        super().know(key, subscription)

    def members(self, audience: Audience) -> set[str]:
        return {self.profiles[one]["email"] for one in self.lists[audience.ref]["members"]}

    def id_of(self, email: str) -> str:
        return next((one for one, profile in self.profiles.items() if profile["email"] == email), "")

    # -- the API ------------------------------------------------------------------------------------------------------

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert str(request.url).startswith(API) and request.headers["revision"] == "2026-07-15"
        assert request.headers["accept"] == "application/vnd.api+json"
        assert not request.content or request.headers["content-type"] == "application/vnd.api+json"
        if request.headers["authorization"] != f"Klaviyo-API-Key {KEY}":
            return problem(401, "not_authenticated")
        path = request.url.path.removeprefix("/api")
        for pattern, method, handle in self._routes():
            if (match := re.fullmatch(pattern, path)) and method == request.method:
                return handle(request, *match.groups())
        return problem(404, "not_found")

    def _routes(self) -> list[tuple[str, str, Any]]:
        return [
            ("/accounts", "GET", self._account),
            ("/lists", "GET", self._find_lists),
            ("/lists", "POST", self._make_list),
            ("/lists/([^/]+)/profiles", "GET", self._members),
            ("/lists/([^/]+)/relationships/profiles", "DELETE", self._take_off),
            ("/profiles", "GET", self._find_profiles),
            ("/profile-bulk-import-jobs", "POST", self._import),
            ("/profile-bulk-import-jobs/([^/]+)", "GET", self._progress),
            ("/profile-bulk-import-jobs/([^/]+)/import-errors", "GET", self._errors),
            ("/data-privacy-deletion-jobs", "POST", self._delete),
        ]

    def _account(self, _: httpx.Request) -> httpx.Response:
        about = {"contact_information": {"organization_name": "Klaviyo Demo"}}
        return answered(200, [{"type": "account", "id": "AbC123", "attributes": about}])

    def _find_lists(self, request: httpx.Request) -> httpx.Response:
        name = re.fullmatch(r"equals\(name,(.+)\)", request.url.params["filter"])
        assert name and request.url.params["sort"] == "created"
        # The filter does not tell capitals apart.
        wanted = json.loads(name[1]).lower()
        found = [
            {"type": "list", "id": one, "attributes": {"name": held["name"]}}
            for one, held in self.lists.items()
            if held["name"].lower() == wanted
        ]
        return paged(request, found, most=10)

    def _make_list(self, request: httpx.Request) -> httpx.Response:
        made, number = json_body(request)["data"], f"L{len(self.lists):05}"
        self.lists[number] = {"name": made["attributes"]["name"], "members": set()}
        return answered(201, {"type": "list", "id": number, "attributes": made["attributes"], "links": {}})

    def _find_profiles(self, request: httpx.Request) -> httpx.Response:
        match = re.fullmatch(r"any\((email|id),(\[.+\])\)", request.url.params["filter"])
        assert match
        wanted = json.loads(match[2])
        assert len(wanted) <= 100
        found = [one for one, held in self.profiles.items() if {"id": one, "email": held["email"]}[match[1]] in wanted]
        return paged(request, [self._shown(one) for one in found], most=100)

    def _members(self, request: httpx.Request, number: str) -> httpx.Response:
        if number not in self.lists:
            return problem(404, "not_found")
        return paged(request, [self._shown(one) for one in sorted(self.lists[number]["members"])], most=100)

    def _shown(self, one: str) -> dict[str, Any]:
        # As somebody once typed it.
        return {"type": "profile", "id": one, "attributes": {"email": self.profiles[one]["email"].title()}}

    def _take_off(self, request: httpx.Request, number: str) -> httpx.Response:
        ids = [one["id"] for one in json_body(request)["data"]]
        if len(ids) > 1000:
            return problem(400, "invalid")
        if number not in self.lists or not set(ids) <= self.profiles.keys():
            return problem(404, "not_found")
        self.lists[number]["members"] -= set(ids)
        return httpx.Response(204, headers=REMAINING)

    def _import(self, request: httpx.Request) -> httpx.Response:
        told, number = json_body(request)["data"], f"job-{len(self.jobs)}"
        rows = [row["attributes"] for row in told["attributes"]["profiles"]["data"]]
        assert len(rows) <= 10_000 and len(request.content) <= 5_000_000
        [target] = told["relationships"]["lists"]["data"]
        if target["id"] not in self.lists:
            return problem(404, "not_found")
        self.jobs[number] = {"rows": rows, "list": target["id"], "asked": 0, "errors": [], "status": "queued"}
        return self._job(202, number)

    def _progress(self, _: httpx.Request, number: str) -> httpx.Response:
        if number not in self.jobs:
            return problem(404, "not_found")
        job = self.jobs[number]
        job["asked"] += 1
        if job["status"] == "queued":
            job["status"] = "processing"
        elif job["status"] == "processing" and not self.dawdles:
            job["status"] = "cancelled" if self.cancels else "complete"
            self._carry_out(job)
        return self._job(200, number)

    def _carry_out(self, job: dict[str, Any]) -> None:
        for number, row in enumerate(job["rows"]):
            if row["email"] in self.refused:
                job["errors"].append(self._error(number, row))
                continue
            self.lists[job["list"]]["members"].add(self._upsert(row))

    def _error(self, number: int, row: dict[str, Any]) -> dict[str, Any]:
        """By turns with the row repeated, and with its number only."""
        pointer = f"/data/attributes/profiles/data/{number}/attributes/email"
        named: dict[str, Any] = {"source": {"pointer": pointer}, "original_payload": None}
        if number % 2:
            named = {"source": {"pointer": "/data"}, "original_payload": row}
        about = {"code": "invalid", "title": "Invalid input.", "detail": self.refused[row["email"]], **named}
        return {"type": "import-error", "id": f"error-{number}", "attributes": about}

    def _job(self, status: int, number: str) -> httpx.Response:
        job = self.jobs[number]
        about = {
            "status": job["status"],
            "created_at": "2026-11-22T10:00:00+00:00",
            "total_count": len(job["rows"]),
            "completed_count": len(job["rows"]) if job["status"] == "complete" else 0,
            "failed_count": len(job["errors"]),
        }
        return answered(status, {"type": "profile-bulk-import-job", "id": number, "attributes": about, "links": {}})

    def _errors(self, request: httpx.Request, number: str) -> httpx.Response:
        return paged(request, self.jobs[number]["errors"], most=100)

    def _delete(self, request: httpx.Request) -> httpx.Response:
        email = json_body(request)["data"]["attributes"]["profile"]["data"]["attributes"]["email"]
        gone = self.id_of(email)
        self.profiles.pop(gone, None)
        self.subscriptions.pop(email, None)
        for held in self.lists.values():
            held["members"].discard(gone)
        return httpx.Response(202, headers=REMAINING)

    def _upsert(self, row: dict[str, Any]) -> str:
        one = self.id_of(row["email"]) or self._make(row)
        held = self.profiles[one]
        held |= {**row, "properties": {**held["properties"], **row.get("properties", {})}}
        return one

    def _make(self, row: dict[str, Any]) -> str:
        self.made += 1
        self.profiles[f"01P{self.made:08}"] = {"properties": {}, **row}
        return f"01P{self.made:08}"

    # -- its webhooks -------------------------------------------------------------------------------------------------

    def tells(self, notice: Notice, key: str) -> Inbound:
        return self.telling(json.dumps(self.told(self.event(notice, key))).encode())

    def telling(self, body: bytes) -> Inbound:
        said = format_datetime(datetime.now(UTC), usegmt=True)
        signature = hmac.digest(SECRET.encode(), body + said.encode(), "sha256").hex()
        headers = {"klaviyo-signature": signature, "klaviyo-timestamp": said, "klaviyo-webhook-id": WEBHOOK}
        return Inbound("POST", headers=headers, body=body)

    def event(self, notice: Notice, key: str, **properties: str) -> dict[str, Any]:
        profile = {"type": "profile", "id": self.id_of(key)}
        about = {"timestamp": 1_795_000_000, "event_properties": {"Bounce Type": "Hard", **properties}}
        data = {"type": "event", "id": "e", "attributes": about, "relationships": {"profile": {"data": profile}}}
        included = [] if self.names_profiles_only else [{**profile, "attributes": {"email": key.title()}}]
        payload = {"data": data, "included": included}
        return {"topic": TOPICS[notice], "external_id": f"evt-{notice}", "payload": payload}

    def told(self, *events: Any) -> dict[str, Any]:
        return {"data": list(events), "meta": {"klaviyo_webhook_id": WEBHOOK, "version": "2026-07-15"}}


REMAINING = {"ratelimit-limit": "150, 10;w=1, 150;w=60", "ratelimit-remaining": "149", "ratelimit-reset": "60"}


def answered(status: int, data: Any, **links: str) -> httpx.Response:
    return httpx.Response(status, json={"data": data, "links": {"self": API, **links}}, headers=REMAINING)


def paged(request: httpx.Request, rows: list[Any], most: int) -> httpx.Response:
    size = int(request.url.params.get("page[size]", min(20, most)))
    if size > most:
        return problem(400, "invalid")
    start = int(request.url.params.get("page[cursor]", "at-0").removeprefix("at-"))
    more = {"next": str(request.url.copy_set_param("page[cursor]", f"at-{start + size}"))}
    return answered(200, rows[start : start + size], **(more if start + size < len(rows) else {}))


def problem(status: int, code: str, **headers: str) -> httpx.Response:
    error = {"id": "x", "status": status, "code": code, "title": code, "detail": "d", "source": {"pointer": "/data"}}
    return httpx.Response(status, json={"errors": [error]}, headers=headers)

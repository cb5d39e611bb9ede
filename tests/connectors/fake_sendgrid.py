"""SendGrid as it behaves: contacts by id, lists, jobs that take their time, and a search that lags behind."""

from __future__ import annotations

import base64
import json
import re
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.sdk import Audience, Inbound, Notice
from hub.sdk.testing import HttpVendor, json_body

KEY = "SG.secret0123456789"
PRIVATE = ec.generate_private_key(ec.SECP256R1())
PUBLIC = base64.b64encode(PRIVATE.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
EVENTS = {
    Notice.UNSUBSCRIBED: {"event": "unsubscribe"},
    Notice.BOUNCED: {"event": "bounce", "type": "bounce"},
    Notice.COMPLAINED: {"event": "spamreport"},
}
Answers = dict[tuple[str, str], Callable[[], httpx.Response]]


class FakeSendGrid(HttpVendor):
    """One account: `subscriptions` are its contacts. Whoever is `invalid` spoils a whole request; whoever is `refused`
    ends up in their job's file of errors; whoever is `hidden` is not found by so many searches. Jobs end when they are
    asked after for the second time, unless it `dawdles`."""

    def __init__(self) -> None:
        super().__init__()
        self.lists: dict[str, str] = {}
        self.on: dict[str, set[str]] = {}
        self.details: dict[str, dict[str, Any]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.removals: list[tuple[str, str]] = []
        self.invalid: set[str] = set()
        self.hidden: dict[str, int] = {}
        self.erased: set[str] = set()
        self.unknown_ids: set[str] = set()
        self.fails_as_a_whole = False
        self.dawdles = False
        self.finished_ago = timedelta(hours=1)
        self.page = 1000
        self.scopes = ["mail.send", "marketing.read", "marketing.automation.read"]

    def members(self, audience: Audience) -> set[str]:
        return set(self.on[audience.ref])

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "errors.sendgrid.example":
            assert "authorization" not in request.headers, "the key is nobody else's"
            return self._errors_file(request.url.path.strip("/"))
        assert request.url.host == "api.sendgrid.com"
        if request.headers["authorization"] != f"Bearer {KEY}":
            return complaint(401, "authorization required")
        answer = self._answer(request, request.url.path.removeprefix("/v3"))
        answer.headers["x-ratelimit-remaining"], answer.headers["x-ratelimit-reset"] = "99", str(int(time.time()) + 60)
        return answer

    def _answer(self, request: httpx.Request, path: str) -> httpx.Response:
        body, query = json_body(request), request.url.params
        if match := re.fullmatch(r"/marketing/lists/([0-9a-f-]{36})(/contacts|/contacts/count)?", path):
            return self._list(match[1], match[2] or "", query.get("contact_ids", "").split(","))
        if match := re.fullmatch(r"/marketing/contacts/imports/(.+)", path):
            return self._progress(match[1])
        known: Answers = {
            ("GET", "/scopes"): lambda: ok({"scopes": self.scopes}),
            ("GET", "/marketing/contacts/count"): lambda: ok({"contact_count": len(self.subscriptions)}),
            ("GET", "/marketing/field_definitions"): lambda: ok(FIELDS),
            ("GET", "/marketing/lists"): lambda: self._page_of_lists(query.get("page_token", "0")),
            ("POST", "/marketing/lists"): lambda: self._make(body["name"]),
            ("PUT", "/marketing/contacts"): lambda: self._upsert(body),
            ("POST", "/marketing/contacts/search/emails"): lambda: self._search(body["emails"]),
            ("DELETE", "/marketing/contacts"): lambda: self._delete(query["ids"].split(",")),
            ("POST", "/recipients/erasejob"): lambda: self._erase(body["email_addresses"]),
        }
        return known[request.method, path]()

    def _page_of_lists(self, token: str) -> httpx.Response:
        start = int(token)
        found = [{"id": number, "name": name, "contact_count": 0} for number, name in self.lists.items()]
        more = {"next": f"https://api.sendgrid.com/v3/marketing/lists?page_size=1000&page_token={start + self.page}"}
        page = found[start : start + self.page]
        return ok({"result": page, "_metadata": more if len(found) > start + self.page else {}})

    def _make(self, name: str) -> httpx.Response:
        if name in self.lists.values():
            return complaint(400, "list name must be unique")
        number = str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
        self.lists[number], self.on[number] = name, set()
        return ok({"id": number, "name": name, "contact_count": 0}, 201)

    def _list(self, number: str, rest: str, ids: list[str]) -> httpx.Response:
        if number not in self.lists:
            return complaint(404, "list not found")
        if rest == "/contacts/count":
            return ok({"contact_count": len(self.on[number]), "billable_count": 0})
        if not rest:
            return ok({"id": number, "name": self.lists[number], "contact_count": len(self.on[number])})
        if self.unknown_ids & set(ids):
            return complaint(404, "one or more contact IDs do not exist")
        assert 1 <= len(ids) <= 100
        self.removals += [(number, one) for one in ids]
        return ok({"job_id": f"take-off-{len(self.removals)}"}, 202)

    def _upsert(self, body: Any) -> httpx.Response:
        keys = [contact["email"] for contact in body["contacts"]]
        assert 1 <= len(keys) <= 30_000
        if set(body["list_ids"]) - set(self.lists):
            return complaint(404, "list not found")
        if bad := next((key for key in keys if key in self.invalid), None):
            return complaint(400, f"email '{bad}' is not valid")
        job = f"job-{len(self.jobs) + 1}"
        self.jobs[job] = {"asked": 0, "body": body, "finished": None}
        return ok({"job_id": job}, 202)

    def _progress(self, number: str) -> httpx.Response:
        if number not in self.jobs:
            return complaint(404, "not found")
        job = self.jobs[number]
        job["asked"] += 1
        if job["asked"] == 1 or self.dawdles:
            return ok({"id": number, "status": "pending", "job_type": "upsert", "finished_at": ""})
        if job["finished"] is None:
            job["finished"] = (datetime.now(UTC) - self.finished_ago).isoformat().replace("+00:00", "Z")
            self._carry_out(job["body"])
        return ok({"id": number, "finished_at": job["finished"], "job_type": "upsert", **self._ended(number)})

    def _carry_out(self, body: Any) -> None:
        for contact in [] if self.fails_as_a_whole else body["contacts"]:
            if contact["email"] not in self.refused:
                self.subscriptions.setdefault(contact["email"], "subscribed")
                self.details[contact["email"]] = contact
                self.on[body["list_ids"][0]].add(contact["email"])

    def _ended(self, number: str) -> dict[str, Any]:
        bad = self._bad_of(number)
        if not bad and not self.fails_as_a_whole:
            return {"status": "completed", "results": {"errored_count": 0}}
        results = {"errored_count": len(bad), "errors_url": f"https://errors.sendgrid.example/{number}"}
        return {"status": "failed" if self.fails_as_a_whole else "errored", "results": results}

    def _bad_of(self, number: str) -> list[str]:
        everyone = [contact["email"] for contact in self.jobs[number]["body"]["contacts"]]
        return [key for key in everyone if key in self.refused]

    def _errors_file(self, number: str) -> httpx.Response:
        rows = [f'{key},"{self.refused[key]}"' for key in self._bad_of(number)]
        return httpx.Response(200, text="\r\n".join(["email,error", *rows]))

    def _search(self, emails: list[str]) -> httpx.Response:
        assert 1 <= len(emails) <= 100
        if set(emails) & self.invalid:
            return complaint(400, "invalid email address")
        found = {key: self._found(key) for key in emails}
        # What was asked for is carried out a little later.
        for number, one in self.removals:
            self.on[number] = {key for key in self.on[number] if contact_id(key) != one}
        self.removals = []
        if not any("contact" in answer for answer in found.values()):
            return complaint(404, "no contacts found")
        return ok({"result": found})

    def _found(self, key: str) -> dict[str, Any]:
        self.hidden[key] = self.hidden.get(key, 0) - 1
        if key not in self.subscriptions or self.hidden[key] >= 0:
            return {"error": "contact not found"}
        on = [number for number, members in self.on.items() if key in members]
        return {"contact": {"id": contact_id(key), "email": key, "list_ids": on, "segment_ids": []}}

    def _delete(self, ids: list[str]) -> httpx.Response:
        for key in [key for key in self.subscriptions if contact_id(key) in ids]:
            del self.subscriptions[key]
            self.on = {number: members - {key} for number, members in self.on.items()}
        return ok({"job_id": "deletion"}, 202)

    def _erase(self, emails: list[str]) -> httpx.Response:
        if bad := next((key for key in emails if key in self.invalid), None):
            return complaint(400, f"Email_address {bad} is not valid")
        self.erased |= set(emails)
        return ok({"job_id": "erasure"}, 202)

    def tells(self, notice: Notice, key: str) -> Inbound:
        return self.telling(json.dumps([told(key, **EVENTS[notice])]).encode())

    def telling(self, body: bytes) -> Inbound:
        moment = str(int(time.time()))
        signature = PRIVATE.sign(moment.encode() + body, ec.ECDSA(SHA256()))
        headers = {
            "x-twilio-email-event-webhook-signature": base64.b64encode(signature).decode(),
            "x-twilio-email-event-webhook-timestamp": moment,
        }
        return Inbound("POST", headers=headers, body=body)


FIELDS = {
    "custom_fields": [
        {"id": "e1_N", "name": "orders", "field_type": "Number"},
        {"id": "w1", "name": "plan", "field_type": "Text"},
    ],
    "reserved_fields": [
        {"id": "_rf0_T", "name": "first_name", "field_type": "Text"},
        {"id": "_rf2_T", "name": "email", "field_type": "Text"},
        {"id": "_rf3_T", "name": "alternate_emails", "field_type": "Text"},
        {"id": "_rf20_T", "name": "automation_id", "field_type": "Text", "read_only": True},
    ],
}


def told(key: str, **event: Any) -> dict[str, Any]:
    return {"email": key, "timestamp": 1795341600, "sg_event_id": "evt-1", "sg_message_id": "m.1", **event}


def contact_id(key: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, key))


def ok(body: Any, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=body)


def complaint(status: int, message: str) -> httpx.Response:
    return httpx.Response(status, json={"errors": [{"message": message, "field": None}]})

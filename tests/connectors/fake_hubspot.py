"""HubSpot as it behaves: contacts with record ids and merged addresses, static lists of ids, answers of status 207."""

from __future__ import annotations

import base64
import hmac
import json
import re
import time
from typing import Any, ClassVar
from urllib.parse import unquote

import httpx

from hub.sdk import Inbound, Notice
from hub.sdk.contract import Audience
from hub.sdk.testing import HttpVendor, json_body

TOKEN = "pat-eu1-0123456789abcdef"
SECRET = "client-secret-0123456789"
ADDRESS = "https://hub.example.com/hooks/hubspot/"
CHANGES = {
    Notice.UNSUBSCRIBED: ("hs_email_optout", "true"),
    Notice.BOUNCED: ("hs_email_hard_bounce_reason_enum", "UNKNOWN_USER"),
}


class FakeHubSpot(HttpVendor):
    """`names_by` says how an error tells whose row it is about: `trace`, `email` or nothing; `refuses_whole` makes it
    refuse a batch for one row of it. `contacts` and `lists` are where the version of the API has them."""

    notices: ClassVar = tuple(CHANGES)

    def __init__(self, lists: str = "/crm/lists/2026-03", contacts: str = "/crm/objects/2026-03/contacts") -> None:
        super().__init__()
        self.paths = lists, contacts
        self.contacts: dict[str, dict[str, str]] = {}
        self.lists: dict[str, dict[str, Any]] = {}
        self.made = 100
        self.names_by = "trace"
        self.refuses_whole = False

    def know(self, key: str, subscription: str = "subscribed") -> None:
        if key not in self.subscriptions:
            self._make({"email": key})
        super().know(key, subscription)

    def members(self, audience: Audience) -> set[str]:
        return {self.contacts[one]["email"] for one in self.lists[audience.ref]["members"]}

    def id_of(self, email: str) -> str:
        """By any of its addresses."""
        return next((one for one, held in self.contacts.items() if email in _addresses(held)), "")

    # -- the API ------------------------------------------------------------------------------------------------------

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host == "api.hubapi.com"
        if request.headers["authorization"] != f"Bearer {TOKEN}":
            return problem(401, "INVALID_AUTHENTICATION")
        path, (lists, contacts) = request.url.raw_path.decode().partition("?")[0], self.paths
        for pattern, method, handle in (
            (r"/account-info/[\w-]+/details", "GET", self._account),
            (f"{lists}/object-type-id/0-1/name/([^/]+)", "GET", self._find_list),
            (lists, "POST", self._make_list),
            (f"{lists}/([^/]+)/memberships", "GET", self._members),
            (f"{lists}/([^/]+)/memberships/add-and-remove", "PUT", self._change),
            (f"{contacts}/batch/read", "POST", self._read),
            (f"{contacts}/batch/(update|upsert)", "POST", self._write),
            (f"{contacts}/gdpr-delete", "POST", self._delete),
        ):
            if method == request.method and (match := re.fullmatch(pattern, path)):
                return handle(request, *match.groups())
        raise AssertionError(f"{request.method} {path} is nothing of HubSpot's")

    def _account(self, _: httpx.Request) -> httpx.Response:
        return answered(200, {"portalId": 62515, "timeZone": "US/Eastern", "accountType": "STANDARD"})

    def _find_list(self, _: httpx.Request, name: str) -> httpx.Response:
        wanted = unquote(name)
        alike = [one for one, held in self.lists.items() if held["name"].lower() == wanted.lower()]
        # Capitals may make no difference to the search, but the very name comes first.
        found = sorted(alike, key=lambda one: self.lists[one]["name"] != wanted)
        return self._list(found[0]) if found else problem(404, "OBJECT_NOT_FOUND")

    def _make_list(self, request: httpx.Request) -> httpx.Response:
        told, number = json_body(request), str(1 + len(self.lists))
        assert told["objectTypeId"] == "0-1"
        if any(held["name"] == told["name"] for held in self.lists.values()):
            return problem(400, "VALIDATION_ERROR", "ListError.DUPLICATE_LIST_NAMES")
        self.lists[number] = {"name": told["name"], "kind": told["processingType"], "members": set()}
        return self._list(number)

    def _list(self, number: str) -> httpx.Response:
        held = self.lists[number]
        about = {"listId": number, "name": held["name"], "objectTypeId": "0-1", "processingType": held["kind"]}
        return answered(200, {"list": {**about, "listVersion": 1, "processingStatus": "COMPLETE"}})

    def _members(self, request: httpx.Request, number: str) -> httpx.Response:
        if number not in self.lists:
            return problem(404, "OBJECT_NOT_FOUND")
        limit, after = int(request.url.params["limit"]), int(request.url.params.get("after", 0))
        assert limit <= 250
        there = sorted((one for one in self.lists[number]["members"] if int(one) > after), key=int)
        results = [{"recordId": one, "membershipTimestamp": "2026-11-22T10:00:00Z"} for one in there[:limit]]
        more = {"paging": {"next": {"after": there[limit - 1], "link": "x"}}} if len(there) > limit else {}
        return answered(200, {"results": results, "total": len(self.lists[number]["members"]), **more})

    def _change(self, request: httpx.Request, number: str) -> httpx.Response:
        if number not in self.lists:
            return problem(404, "OBJECT_NOT_FOUND")
        held, told = self.lists[number], json_body(request)
        if held["kind"] == "DYNAMIC":
            return problem(400, "VALIDATION_ERROR")
        add, remove = set(told["recordIdsToAdd"]), set(told["recordIdsToRemove"])
        assert not add & remove
        added, removed = (add & self.contacts.keys()) - held["members"], remove & held["members"]
        held["members"] = (held["members"] | added) - removed
        missing = (add | remove) - self.contacts.keys()
        return answered(200, {"recordsIdsAdded": sorted(added), "recordIdsRemoved": sorted(removed),
                              "recordIdsMissing": sorted(missing)})  # fmt: skip

    def _read(self, request: httpx.Request) -> httpx.Response:
        told = json_body(request)
        names = [one["id"] for one in told["inputs"]]
        if len(names) > 100:
            return problem(400, "VALIDATION_ERROR")
        known = {address: one for one, held in self.contacts.items() for address in _addresses(held)}
        ids = [known.get(name, "") if told.get("idProperty") == "email" else name for name in names]
        lost = [name for name, one in zip(names, ids, strict=True) if one not in self.contacts]
        results = [self._shown(one, told["properties"]) for one in dict.fromkeys(ids) if one in self.contacts]
        error = {"status": "error", "category": "OBJECT_NOT_FOUND", "message": f"Could not get {lost}", "context": {}}
        return batch(results, [{**error, "context": {"ids": lost}}] if lost else [])

    def _write(self, request: httpx.Request, action: str) -> httpx.Response:
        rows = json_body(request)["inputs"]
        if len(rows) > 100 or len({row["id"] for row in rows}) < len(rows):
            return problem(400, "VALIDATION_ERROR", "Duplicate IDs found in batch input")
        if action == "update" and not {row["id"] for row in rows} <= self.contacts.keys():
            return problem(404, "OBJECT_NOT_FOUND", "No contact has one of these ids")
        results, errors = [], []
        for row in rows:
            assert all(isinstance(value, str) for value in row["properties"].values())
            one = row["id"] if action == "update" else self.id_of(row["id"])
            email = self.contacts[one]["email"] if one else row["id"]
            if email in self.refused:
                errors.append(self._error(row, email))
                continue
            one = one or self._make({"email": row["id"]})
            self.contacts[one] |= row["properties"]
            trace = {"objectWriteTraceId": row["objectWriteTraceId"]} if "objectWriteTraceId" in row else {}
            results.append({**self._shown(one, ["email"]), **trace, "new": False})
        if errors and self.refuses_whole:
            return problem(400, "VALIDATION_ERROR", errors[0]["message"])
        return batch(results, errors)

    def _error(self, row: dict[str, Any], email: str) -> dict[str, Any]:
        named = {"trace": {"objectWriteTraceId": [row.get("objectWriteTraceId", "")]}, "email": {"email": [email]}}
        about = {"status": "error", "category": "VALIDATION_ERROR", "message": self.refused[email], "links": {}}
        return {**about, "context": named.get(self.names_by, {}), "errors": []}

    def _shown(self, one: str, properties: list[str]) -> dict[str, Any]:
        held = self.contacts[one]
        told = {name: held.get(name) for name in properties} | {"hs_object_id": one}
        when = {"createdAt": "2026-11-22T10:00:00Z", "updatedAt": "2026-11-22T10:00:00Z", "archived": False}
        return {"id": one, "properties": told, **when}

    def _delete(self, request: httpx.Request) -> httpx.Response:
        told = json_body(request)
        assert "idProperty" not in told, "an address that HubSpot does not know would be kept on its block list"
        gone = self.contacts.pop(told["objectId"], None)
        if gone is None:
            return problem(404, "OBJECT_NOT_FOUND")
        self.subscriptions.pop(gone["email"], None)
        for held in self.lists.values():
            held["members"].discard(told["objectId"])
        return httpx.Response(204)

    def _make(self, properties: dict[str, str]) -> str:
        self.made += 1
        self.contacts[str(self.made)] = dict(properties)
        return str(self.made)

    # -- its webhooks -------------------------------------------------------------------------------------------------

    def tells(self, notice: Notice, key: str) -> Inbound:
        return self.telling(json.dumps([self.event(*CHANGES[notice], key)]).encode())

    def telling(self, body: bytes, method: str = "POST") -> Inbound:
        said = str(int(time.time() * 1000))
        content = f"{method}{ADDRESS}".encode() + body + said.encode()
        signature = base64.b64encode(hmac.digest(SECRET.encode(), content, "sha256")).decode()
        headers = {"x-hubspot-signature-v3": signature, "x-hubspot-request-timestamp": said}
        return Inbound(method, headers=headers, body=body, url=ADDRESS)

    def event(self, changed: str, value: str, key: str) -> dict[str, Any]:
        about = {"subscriptionType": "contact.propertyChange", "propertyName": changed, "propertyValue": value}
        numbers = {"eventId": 7, "subscriptionId": 12, "portalId": 62515, "occurredAt": 1_795_000_000_500}
        return {**about, **numbers, "objectId": int(self.id_of(key) or 0), "attemptNumber": 0}


def _addresses(held: dict[str, str]) -> list[str]:
    return [held["email"], *filter(None, held.get("hs_additional_emails", "").split(";"))]


def batch(results: list[Any], errors: list[Any]) -> httpx.Response:
    told = {"status": "COMPLETE", "results": results, "startedAt": "x", "completedAt": "x"}
    return answered(207, {**told, "numErrors": len(errors), "errors": errors}) if errors else answered(200, told)


def answered(status: int, body: Any) -> httpx.Response:
    remaining = {"x-hubspot-ratelimit-max": "100", "x-hubspot-ratelimit-remaining": "99"}
    return httpx.Response(status, json=body, headers=remaining)


def problem(status: int, category: str, message: str = "", **more: Any) -> httpx.Response:
    about = {"status": "error", "category": category, "message": message}
    correlation = "aeb5f871-7f07-4993-9211-075dc63e7cbf"
    return httpx.Response(status, json={**about, "correlationId": correlation, **more})

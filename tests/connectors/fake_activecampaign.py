"""ActiveCampaign as it behaves: contacts, tags, tags on contacts, and imports that are carried out later."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx

from hub.sdk import Audience
from hub.sdk.testing import HttpVendor, json_body

API = "/api/3"
MOST_BYTES = 399_999
# What an import says of itself before it is done: nothing, for about a second.
NOT_YET = (False, "active")


class FakeActiveCampaign(HttpVendor):
    """`taggings` are pairs of a contact's and a tag's id. A `tongue_tied` one spells addresses anew; one that `dawdles`
    leaves imports in the queue."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[str, str] = {}
        self.contacts: dict[str, dict[str, Any]] = {}
        self.taggings: dict[str, tuple[str, str]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.asked: Counter[str] = Counter()
        self.ends = "completed"
        self.tongue_tied = False
        self.dawdles = False
        self._ids = 0

    def members(self, audience: Audience) -> set[str]:
        return {self.contacts[contact]["email"] for contact, tag in self.taggings.values() if tag == audience.ref}

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host == "shop.api-us1.com" and request.headers["api-token"]
        kind, _, rest = request.url.path.removeprefix(f"{API}/").partition("/")
        answers: dict[tuple[str, str], Callable[[httpx.Request, str], httpx.Response]] = {
            ("GET", "users"): lambda _, __: httpx.Response(200, json={"user": {"id": "1", "username": "the-shop"}}),
            ("GET", "tags"): self._find_tags,
            ("POST", "tags"): self._make_tag,
            ("POST", "import"): self._take_import,
            ("GET", "import"): self._tell_of_import,
            ("GET", "contacts"): self._find_contacts,
            ("DELETE", "contactTags"): self._untag,
            ("DELETE", "contacts"): self._delete,
        }
        return answers[request.method, kind](request, rest)

    def tag(self, name: str) -> str:
        known = next((ref for ref, tag in self.tags.items() if tag == name), None)
        ref = known or self._new_id()
        self.tags[ref] = name
        return ref

    def contact(self, email: str, **fields: Any) -> str:
        """Imports find a contact whatever the case of its address."""
        known = next((ref for ref, one in self.contacts.items() if one["email"].lower() == email.lower()), None)
        ref = known or self._new_id()
        self.contacts.setdefault(ref, {"email": email}).update(fields)
        return ref

    def put_on(self, contact: str, tag: str) -> None:
        if (contact, tag) not in self.taggings.values():
            self.taggings[self._new_id()] = contact, tag

    def _new_id(self) -> str:
        self._ids += 1
        return str(self._ids)

    def _find_tags(self, request: httpx.Request, _: str) -> httpx.Response:
        asked = request.url.params
        found = [{"id": ref, "tag": tag} for ref, tag in self.tags.items() if asked["search"].lower() in tag.lower()]
        start, most = int(asked["offset"]), min(int(asked["limit"]), 100)
        return httpx.Response(200, json={"tags": found[start : start + most], "meta": {"total": str(len(found))}})

    def _make_tag(self, request: httpx.Request, _: str) -> httpx.Response:
        wanted = json_body(request)["tag"]
        return httpx.Response(201, json={"tag": {**wanted, "id": self.tag(wanted["tag"])}})

    def _take_import(self, request: httpx.Request, rest: str) -> httpx.Response:
        body = json_body(request)
        assert rest == "bulk_import" and 0 < len(body["contacts"]) <= 250
        if len(request.content) > MOST_BYTES:
            return httpx.Response(400, json={"success": 0, "message": "The request is too large."})
        job = f"batch-{self._new_id()}"
        self.jobs[job] = body
        return httpx.Response(200, json={"success": 1, "queued_contacts": len(body["contacts"]), "batchId": job})

    def _tell_of_import(self, request: httpx.Request, rest: str) -> httpx.Response:
        job, asked = request.url.params["batchId"], self.asked[request.url.params["batchId"]]
        assert rest == "info"
        if self.dawdles:
            return httpx.Response(200, json={"status": "waiting", "success": [], "failure": []})
        self.asked[job] += 1
        if asked < len(NOT_YET):
            return httpx.Response(200, json={"status": NOT_YET[asked], "success": [], "failure": []})
        if asked == len(NOT_YET) and self.ends == "completed":
            self._carry_out(job)
        failed = [row["email"] for row in self.jobs[job]["contacts"] if row["email"] in self.refused]
        told = [email.replace("@", "'@") if self.tongue_tied else email.title() for email in failed]
        return httpx.Response(200, json={"status": self.ends, "success": [], "failure": told})

    def _carry_out(self, job: str) -> None:
        for row in self.jobs[job]["contacts"]:
            if row["email"] in self.refused:
                continue
            contact = self.contact(**{name: value for name, value in row.items() if name != "tags"})
            for name in row["tags"]:
                self.put_on(contact, self.tag(name))
            for one in row.get("subscribe", []):
                self.subscriptions[row["email"]] = f"subscribed to {one['listid']}"

    def _find_contacts(self, request: httpx.Request, _: str) -> httpx.Response:
        asked = request.url.params
        assert asked["status"] == "-1", "those who unsubscribed are left out"
        found = self._by_address(asked["email"]) if "email" in asked else self._by_tag(asked)
        told: dict[str, Any] = {"contacts": [{"id": ref, "email": self.contacts[ref]["email"]} for ref in found]}
        if asked.get("include") == "contactTags":
            pairs = self.taggings.items()
            told["contactTags"] = [{"id": i, "contact": c, "tag": t} for i, (c, t) in pairs if c in found]
        return httpx.Response(200, json=told)

    def _by_address(self, email: str) -> list[str]:
        return [ref for ref, one in self.contacts.items() if one["email"].lower() == email.lower()]

    def _by_tag(self, asked: httpx.QueryParams) -> list[str]:
        tagged = {int(contact) for contact, tag in self.taggings.values() if tag == asked["tagid"]}
        after = sorted(ref for ref in tagged if ref > int(asked["id_greater"]))
        return [str(ref) for ref in after[: min(int(asked["limit"]), 100)]]

    def _untag(self, _: httpx.Request, ref: str) -> httpx.Response:
        return _deleted(self.taggings.pop(ref, None))

    def _delete(self, _: httpx.Request, ref: str) -> httpx.Response:
        self.taggings = {tagging: ends for tagging, ends in self.taggings.items() if ends[0] != ref}
        return _deleted(self.contacts.pop(ref, None))


def _deleted(there: object) -> httpx.Response:
    if there is None:
        return httpx.Response(404, json={"message": "No Result found for Subscriber"})
    return httpx.Response(200, json={})

"""Google's Data Manager as a fake: lists with codes, requests that are carried out while one asks after them."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any
from urllib.parse import parse_qs

import httpx
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hub.sdk.contract import Audience
from hub.sdk.testing import HttpVendor, json_body

LISTS = "/v1/accountTypes/GOOGLE_ADS/accounts/1234567890/userLists"
TOKEN = "ya29.token"
REFRESH = "1//refresh-token"


@cache
def key_file() -> str:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return json.dumps({"type": "service_account", "client_email": "hub@project.iam.example", "private_key": pem})


class FakeGoogle(HttpVendor):
    """Minds whether people have consented, `numbers` the rows of its errors, and says first that it is at work."""

    def __init__(self, *, numbers: bool = False) -> None:
        super().__init__()
        self.numbers = numbers
        self.lists: dict[str, dict[str, Any]] = {}
        self.requests: dict[str, dict[str, Any]] = {}
        self.held: dict[str, set[str]] = {}
        self.tokens = 0
        self.failing: list[str] = []
        self.at_work = 1

    def members(self, audience: Audience) -> set[str]:
        return set(self.held[audience.ref])

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "oauth2.googleapis.com":
            return self._token(request)
        if request.headers["authorization"] != f"Bearer {TOKEN}":
            return refusal(401, "UNAUTHENTICATED")
        body = json_body(request)
        match request.method, request.url.path:
            case "GET", path if path == LISTS:
                return self._found(request.url.params)
            case "POST", path if path == LISTS:
                return self._make(body, only_look=request.url.params.get("validateOnly") == "true")
            case "POST", "/v1/audienceMembers:ingest" | "/v1/audienceMembers:remove" as path:
                return self._take(body, adding=path.endswith("ingest"))
            case "GET", "/v1/requestStatus:retrieve":
                return self._progress(request.url.params["requestId"])
        return refusal(404, "NOT_FOUND")

    def _token(self, request: httpx.Request) -> httpx.Response:
        form = parse_qs(request.content.decode())
        if form.get("refresh_token", [REFRESH]) != [REFRESH]:
            return httpx.Response(400, json={"error": "invalid_grant"})
        self.tokens += 1
        return httpx.Response(200, json={"access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer"})

    def _found(self, params: httpx.QueryParams) -> httpx.Response:
        """Compares without regard to case, and two at a time."""
        quoted = re.fullmatch(r'integration_code = "(.*)"', params.get("filter", ""))
        wanted = re.sub(r"\\(.)", r"\1", quoted[1]).casefold() if quoted else None
        found = [one for one in self.lists.values() if wanted in (None, one["integrationCode"].casefold())]
        start = int(params.get("pageToken", 0))
        more = {"nextPageToken": str(start + 2)} if start + 2 < len(found) else {}
        return httpx.Response(200, json={**({"userLists": found[start : start + 2]} if found else {}), **more})

    def _make(self, body: Any, *, only_look: bool) -> httpx.Response:
        number = str(8000 + len(self.lists))
        made = {**body, "id": number, "name": f"{LISTS[4:]}/{number}"}
        if any(one["displayName"] == body["displayName"] for one in self.lists.values()):
            return refusal(409, "ALREADY_EXISTS")
        if not only_look:
            self.lists[number], self.held[number] = made, set()
        return httpx.Response(200, json=body if only_look else made)

    def _take(self, body: Any, *, adding: bool) -> httpx.Response:
        """Any row that is no hash fails the whole request; a remove says nothing of consent."""
        members = body["audienceMembers"]
        [destination] = body["destinations"]
        if destination["productDestinationId"] not in self.lists:
            return refusal(400, "INVALID_ARGUMENT", "INVALID_USER_LIST_ID")
        malformed = [
            {"field": f"audience_members.audience_members[{row}].user_data", "reason": "INVALID_SHA256_FORMAT"}
            for row, member in enumerate(members)
            if any("malformed" in key for key in keys_of(member))
        ]
        if malformed or len(members) > 10_000:
            return refusal(400, "INVALID_ARGUMENT", violations=malformed)
        if not adding:
            assert not any("consent" in member for member in members)
        number = f"request-{len(self.requests)}"
        self.requests[number] = {
            "ref": destination["productDestinationId"], "members": members, "adding": adding, "asked": 0
        }  # fmt: skip
        return httpx.Response(200, json={"requestId": number})

    def _progress(self, number: str) -> httpx.Response:
        request = self.requests[number]
        request["asked"] += 1
        if request["asked"] <= self.at_work:
            return _status("PROCESSING", [])
        if self.failing:
            return _status("FAILED", [{"reason": f"PROCESSING_ERROR_REASON_{word}"} for word in self.failing])
        counts = self._carry_out(request)
        return _status("PARTIAL_SUCCESS" if counts else "SUCCESS", counts)

    def _carry_out(self, request: Any) -> list[dict[str, Any]]:
        wrong: dict[str, list[int]] = {}
        for row, member in enumerate(request["members"]):
            keys = keys_of(member)
            if reason := self._against(member, keys) if request["adding"] else "":
                wrong.setdefault(reason, []).append(row)
            elif request["asked"] == self.at_work + 1:
                held = self.held[request["ref"]]
                self.held[request["ref"]] = held | keys if request["adding"] else held - keys
        return [
            {"reason": f"PROCESSING_ERROR_REASON_{reason}", "recordCount": str(len(rows)),
             **({"recordIndices": rows} if self.numbers else {})}
            for reason, rows in wrong.items()
        ]  # fmt: skip

    def _against(self, member: Any, keys: set[str]) -> str:
        if set(member["consent"].values()) != {"CONSENT_GRANTED"}:
            return "DENIED_CONSENT"
        return "INVALID_FORMAT" if keys & self.refused.keys() else ""


def keys_of(member: Any) -> set[str]:
    named = [f"ad_id:{one}" for one in member.get("mobileData", {}).get("mobileIds", [])]
    for one in member.get("userData", {}).get("userIdentifiers", []):
        named += [f"email:{one['emailAddress']}"] if "emailAddress" in one else []
        named += [f"phone:{one['phoneNumber']}"] if "phoneNumber" in one else []
    return set(named)


def refusal(
    status: int, code: str, reason: str = "", violations: list[dict[str, str]] | None = None, delay: str = ""
) -> httpx.Response:
    said: dict[str, tuple[str, Any]] = {
        "ErrorInfo": ("reason", reason),
        "BadRequest": ("fieldViolations", violations),
        "RetryInfo": ("retryDelay", delay),
    }
    rpc = "type.googleapis.com/google.rpc"
    details = [{"@type": f"{rpc}.{kind}", name: value} for kind, (name, value) in said.items() if value]
    fault = {"code": status, "status": code, "message": "about ann@example.com", "details": details}
    return httpx.Response(status, json={"error": fault})


def _status(status: str, counts: list[dict[str, Any]]) -> httpx.Response:
    one = {"requestStatus": status, **({"errorInfo": {"errorCounts": counts}} if counts else {})}
    return httpx.Response(200, json={"requestStatusPerDestination": [one]})

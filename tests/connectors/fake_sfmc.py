"""Marketing Cloud as it behaves: data extensions, rows in them, and requests that are carried out later."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import httpx

from hub.sdk import Audience
from hub.sdk.testing import HttpVendor, json_body

AUTH, API = "the-shop.auth.marketingcloudapis.com", "the-shop.rest.marketingcloudapis.com"
MOST_ROWS = 32_000
RESULTS_IN_ONE_ANSWER = 50
# What a request says of itself before it is done: nothing, and that it failed, which is no last word.
NOT_YET = (None, "Pending", "Executing", "Error")


class FakeMarketingCloud(HttpVendor):
    """`extensions` by external key, each with its columns and its rows by primary key. Columns are found whatever their
    case. `deadlocks` are the keys of rows that lose; one that `dawdles` does not pick requests up."""

    def __init__(self) -> None:
        super().__init__()
        self.extensions: dict[str, dict[str, Any]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.asked: Counter[str] = Counter()
        self.deadlocks: set[str] = set()
        self.grants: list[dict[str, list[str]]] = []
        self.dawdles = False

    def members(self, audience: Audience) -> set[str]:
        rows = self.extensions[audience.ref]["rows"].values()
        return {row["email"] for row in rows if row.get("in_segment") is True}

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == AUTH:
            return self._grant(request)
        assert request.url.host == API
        if request.headers["authorization"] not in {f"Bearer token-{n + 1}" for n in range(len(self.grants))}:
            return httpx.Response(401, json={"message": "Not Authorized", "errorcode": 0})
        kind, *rest = request.url.path.removeprefix("/data/v1/").split("/")
        answers: dict[tuple[str, str], Callable[[httpx.Request, list[str]], httpx.Response]] = {
            ("GET", "customobjects"): self._look,
            ("POST", "customobjects"): self._make,
            ("PUT", "async"): self._take,
            ("GET", "async"): self._tell,
            ("GET", "customobjectdata"): self._list,
        }
        return answers[request.method, kind](request, rest)

    def extension(self, name: str, columns: dict[str, str], key: str = "", primary: str = "Email") -> str:
        """Names are unique whatever their case."""
        assert name.lower() not in {one["name"].lower() for one in self.extensions.values()}
        key = key or f"made by hand {len(self.extensions) + 1}"
        about = {"id": f"guid-{len(self.extensions) + 1}", "name": name, "key": key}
        self.extensions[key] = {**about, "columns": columns, "primary": primary, "rows": {}}
        return key

    def _grant(self, request: httpx.Request) -> httpx.Response:
        asked = parse_qs(request.content.decode())
        assert request.url.path == "/v2/token" and asked["grant_type"] == ["client_credentials"]
        if asked["client_secret"] != ["the-secret-of-a-test"]:
            return httpx.Response(401, json={"error": "invalid_client", "error_description": "Invalid client secret."})
        self.grants.append(asked)
        token = {"access_token": f"token-{len(self.grants)}", "token_type": "Bearer", "expires_in": 1079}
        return httpx.Response(200, json=token)

    def _look(self, request: httpx.Request, rest: list[str]) -> httpx.Response:
        if rest:
            [one] = [one for one in self.extensions.values() if one["id"] == rest[0]]
            columns = one["columns"].items()
            fields = [{"name": n, "type": t, "isPrimaryKey": n == one["primary"]} for n, t in columns]
            return httpx.Response(200, json={"id": one["id"], "fields": fields})
        asked, known = request.url.params, list(self.extensions.values())
        found = [one for one in known if asked["$search"].lower() in one["name"].lower()]
        told = [{name: one[name] for name in ("id", "name", "key")} for one in found]
        return httpx.Response(200, json={**_page(asked, told), "count": len(told)})

    def _make(self, request: httpx.Request, _: list[str]) -> httpx.Response:
        wanted = json_body(request)
        if wanted["name"].lower() in {one["name"].lower() for one in self.extensions.values()}:
            return httpx.Response(
                400, json={"message": "Name is not unique.", "errorcode": 10006, "additionalErrors": [1]}
            )
        assert len(wanted["key"]) <= 36
        [primary] = [field["name"] for field in wanted["fields"] if field["isPrimaryKey"]]
        columns = {field["name"]: field["type"] for field in wanted["fields"]}
        key = self.extension(wanted["name"], columns, wanted["key"], primary)
        return httpx.Response(201, json={**wanted, "id": self.extensions[key]["id"]})

    def _take(self, request: httpx.Request, rest: list[str]) -> httpx.Response:
        rows = json_body(request)["items"]
        key = rest[1].removeprefix("key:")
        assert rest[0] == "dataextensions" and rest[2] == "rows" and 0 < len(rows) <= MOST_ROWS
        if key not in self.extensions:
            return httpx.Response(404, json={"message": "Not found", "errorcode": 30000})
        job = f"request-{len(self.jobs) + 1}"
        self.jobs[job] = {"key": key, "rows": rows, "results": None}
        return httpx.Response(202, json={"requestId": job, "resultMessages": []})

    def _tell(self, request: httpx.Request, rest: list[str]) -> httpx.Response:
        job, what = rest
        if what == "results":
            results = self.jobs[job]["results"]
            asked = {"$page": request.url.params["page"], "$pageSize": RESULTS_IN_ONE_ANSWER}
            return httpx.Response(200, json={**_page(asked, results), "count": len(results), "requestId": job})
        said = None if self.dawdles else (*NOT_YET, "Complete")[min(self.asked[job], len(NOT_YET))]
        self.asked[job] += not self.dawdles
        if said is None:
            unknown = {"resultCode": "AsyncRequestStatusNotFound", "message": "Unable to locate a Status Record"}
            return httpx.Response(200, json={"requestId": job, "resultMessages": [unknown]})
        return httpx.Response(200, json={"requestId": job, "status": self._status(job, said)})

    def _status(self, job: str, said: str) -> dict[str, Any]:
        about = {"callDateTime": "2026-11-22T10:00:00.1", "requestStatus": said, "requestId": job, "hasErrors": False}
        if said != "Complete":
            return about
        if self.jobs[job]["results"] is None:
            self.jobs[job]["results"] = [self._write(self.jobs[job]["key"], row) for row in self.jobs[job]["rows"]]
        failed = any(result["status"] == "Error" for result in self.jobs[job]["results"])
        return {**about, "hasErrors": failed, "resultStatus": "Has Errors" if failed else "OK"}

    def _write(self, key: str, row: dict[str, Any]) -> dict[str, Any]:
        one, told = self.extensions[key], {name.lower(): value for name, value in row.items()}
        person = told[one["primary"].lower()]
        if strange := set(told) - {name.lower() for name in one["columns"]}:
            return _error(2, f"The column {strange.pop()} is not in the data extension.")
        if person in self.deadlocks:
            return _error(2, "Transaction was deadlocked and has been chosen as the victim. Rerun the transaction. ")
        if told.get("in_segment") and person in self.refused:
            return _error("UnexpectedError", self.refused[person])
        one["rows"][person] = {**one["rows"].get(person, {}), **told}
        return {"status": "OK", "message": ""}

    def _list(self, request: httpx.Request, rest: list[str]) -> httpx.Response:
        one, asked = self.extensions[rest[1]], request.url.params
        primary = one["primary"].lower()
        assert rest[0] == "key" and rest[2] == "rowset" and asked["$orderBy"] == f"{one['primary']} asc"
        rows = [
            {"keys": {primary: key}, "values": {name: str(value) for name, value in row.items() if name != primary}}
            for key, row in sorted(one["rows"].items())
        ]
        return httpx.Response(200, json={"customObjectKey": one["key"], **_page(asked, rows), "count": len(rows)})


def _page(asked: Any, everything: list[Any]) -> dict[str, Any]:
    page, size = int(asked["$page"]), int(asked["$pageSize"])
    return {"page": page, "pageSize": size, "items": everything[(page - 1) * size : page * size]}


def _error(code: int | str, message: str) -> dict[str, Any]:
    return {"status": "Error", "errorCode": code, "message": message}

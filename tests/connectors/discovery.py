"""Requests held against one of Google's discovery documents."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema

from tests.connectors.descriptions import closed, description

_QUERY = {"integer": int, "boolean": {"true": True, "false": False}.__getitem__}


class Discovery:
    """Objects are closed, so that a misspelt field is found, and what is read-only must not be sent."""

    def __init__(self, file: str) -> None:
        self.api = description("google", file)
        self.schemas = closed(_in_json_schema(self.api["schemas"]))

    def validate(self, request: httpx.Request) -> str:
        """The method's id; raises where the request is not as described."""
        path = request.url.path.removeprefix("/")
        usable = (one for one in _methods(self.api) if one["httpMethod"] == request.method)
        method = next((one for one in usable if _fits(one, path)), None)
        assert method, f"no method {request.method} {path} is described"
        self._validate_query(request, method["parameters"])
        if "request" in method:
            schema = {"$ref": f"#/schemas/{method['request']['$ref']}", "schemas": self.schemas}
            jsonschema.validate(json.loads(request.content), schema)
        else:
            assert not request.content, f"{method['id']} takes no body"
        return str(method["id"])

    def _validate_query(self, request: httpx.Request, known: dict[str, Any]) -> None:
        for name, text in request.url.params.multi_items():
            assert known.get(name, {}).get("location") == "query", f"no query parameter {name} is described"
            _QUERY.get(known[name]["type"], str)(text)


def _methods(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from resource.get("methods", {}).values()
    for inner in resource.get("resources", {}).values():
        yield from _methods(inner)


def _fits(method: dict[str, Any], path: str) -> bool:
    """`{+parent}` stands for what the parameter's own pattern says."""
    template = re.escape(method["path"])
    for name, parameter in method.get("parameters", {}).items():
        pattern = parameter.get("pattern", "^[^/]+$").removeprefix("^").removesuffix("$")
        template = re.sub(rf"\\\{{(\\\+)?{name}\\\}}", lambda _, inner=pattern: inner, template)
    return re.fullmatch(template, path) is not None


def _in_json_schema(schema: Any) -> Any:
    """Discovery documents name their schemas without a path, know a type `any`, and mark what only the API sets."""
    if isinstance(schema, list):
        return [_in_json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("readOnly") is True:
        return {"not": {}}
    kept = {name: _in_json_schema(item) for name, item in schema.items() if not (name == "type" and item == "any")}
    return {**kept, "$ref": f"#/schemas/{schema['$ref']}"} if isinstance(schema.get("$ref"), str) else kept

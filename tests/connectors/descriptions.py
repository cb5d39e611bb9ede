"""Requests held against the vendors' own API descriptions, where these are at hand.

They lie outside the repository (`../shared/apis`): without them the tests that need them are skipped and say so.
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import yaml

APIS = Path(__file__).parents[2].parent / "shared" / "apis"


def description(vendor: str, file: str) -> dict[str, Any]:
    path = APIS / vendor / file
    if not path.exists():
        pytest.skip(f"the API description {vendor}/{file} is not at hand")
    return _parsed(path)


@functools.cache
def _parsed(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text(), Loader=_Loader)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Takes a bare `=` as the text it is (OneSignal's enum of relations holds one)."""


_Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: loader.construct_scalar(node))


class Swagger2:
    """Swagger 2.0, which openapi-core cannot read: body and query through jsonschema, with objects closed, so that a
    misspelt field is found."""

    def __init__(self, vendor: str, *files: str) -> None:
        self.paths: dict[str, Any] = {}
        for file in files:
            self.paths |= description(vendor, file)["paths"]

    def validate(self, request: httpx.Request, base: str) -> str:
        """The operation's path template; raises where the request is not as described."""
        path = request.url.path.removeprefix(base)
        template = next(
            (known for known in self.paths if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", known), path)
             and request.method.lower() in self.paths[known]), None
        )  # fmt: skip
        assert template, f"no operation {request.method} {path} is described"
        parameters = self.paths[template][request.method.lower()].get("parameters", [])
        self._validate_query(request, {p["name"]: p for p in parameters if p["in"] == "query"})
        body = next((p for p in parameters if p["in"] == "body"), None)
        if request.content:
            assert body, f"{request.method} {template} takes no body"
            jsonschema.validate(json.loads(request.content), closed(body["schema"]))
        else:
            assert not (body and body.get("required")), f"{request.method} {template} needs a body"
        return template

    def _validate_query(self, request: httpx.Request, known: dict[str, Any]) -> None:
        for name, text in request.url.params.multi_items():
            assert name in known, f"no query parameter {name} is described"
            value = {"integer": int, "boolean": {"true": True, "false": False}.__getitem__}.get(
                known[name]["type"], str
            )(text)
            schema = {key: known[name][key] for key in ("type", "maximum", "enum") if key in known[name]}
            if known[name]["type"] != "array":
                jsonschema.validate(value, schema)


def closed(schema: Any) -> Any:
    """The schema with every object closed that lists its properties and does not open itself."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    named = schema.get("properties")
    inner = {name: closed(item) for name, item in schema.items() if name != "properties"}
    if isinstance(named, dict):
        inner["properties"] = {name: closed(item) for name, item in named.items()}
        inner.setdefault("additionalProperties", False)
    return inner

"""Requests held against the vendors' own API descriptions, where these are at hand.

They lie outside the repository (`../shared/apis`): without them the tests that need them are skipped and say so.
"""

from __future__ import annotations

import copy
import functools
import json
import re
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import yaml
from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from werkzeug.datastructures import Headers, ImmutableMultiDict

APIS = Path(__file__).parents[2].parent / "shared" / "apis"


def description(vendor: str, file: str) -> dict[str, Any]:
    return _parsed(described(vendor, file))


def described(vendor: str, file: str) -> Path:
    path = APIS / vendor / file
    if not path.exists():
        pytest.skip(f"the API description {vendor}/{file} is not at hand")
    return path


@functools.cache
def _parsed(path: Path) -> dict[str, Any]:
    text = path.read_text()
    # Escapes of JSON that YAML does not know (emoji, in two halves).
    return json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=_Loader)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Takes a bare `=` as the text it is (OneSignal's enum of relations holds one)."""


_Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: loader.construct_scalar(node))


class Recorded:
    """A recorded request in openapi-core's own terms."""

    def __init__(self, request: httpx.Request) -> None:
        self.host_url = f"{request.url.scheme}://{request.url.host}"
        self.path = request.url.raw_path.decode().partition("?")[0]
        self.method = request.method.lower()
        self.body = request.content or None
        self.content_type = request.headers.get("content-type", "")
        query = ImmutableMultiDict(request.url.params.multi_items())
        self.parameters = RequestParameters(query=query, header=Headers(dict(request.headers)), cookie={}, path={})


class OpenApi3:
    """OpenAPI 3.0 through openapi-core, with objects closed, so that a misspelt field is found; a query parameter that
    is not described is found too. Say `secured=False` where the vendor's word for its key is not the description's."""

    def __init__(self, vendor: str, *files: str, secured: bool = True) -> None:
        self.apis = [_opened(vendor, file, secured) for file in files]

    def validate(self, request: httpx.Request) -> str:
        """The operation's path template; raises where the request is not as described."""
        recorded = Recorded(request)
        for paths, api in self.apis:
            # Of `/contacts/count` and `/contacts/{id}`, the former is meant.
            fitting = (path for path in paths if _fits(path, recorded) and recorded.method in paths[path])
            template = min(fitting, key=lambda path: path.count("{"), default=None)
            if template:
                _insist_on_known_query(request, paths[template])
                api.validate_request(recorded)  # type: ignore[arg-type]
                return template
        raise AssertionError(f"no operation {request.method} {recorded.path} is described")


@functools.cache
def _opened(vendor: str, file: str, secured: bool) -> tuple[dict[str, Any], OpenAPI]:
    spec = copy.deepcopy(description(vendor, file))
    for operation in (operation for path in spec["paths"].values() for operation in path.values()):
        if not secured and isinstance(operation, dict):
            operation.pop("security", None)
    spec["components"]["schemas"] = {name: closed(schema) for name, schema in spec["components"]["schemas"].items()}
    return spec["paths"], OpenAPI.from_dict(spec, config=Config(spec_validator_cls=None))  # type: ignore[arg-type]


def _fits(template: str, recorded: Recorded) -> bool:
    return re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), recorded.path) is not None


def _insist_on_known_query(request: httpx.Request, path: dict[str, Any]) -> None:
    parameters = [*path.get("parameters", []), *path[request.method.lower()].get("parameters", [])]
    known = {parameter["name"] for parameter in parameters if parameter.get("in") == "query"}
    assert set(request.url.params) <= known, f"not described: {set(request.url.params) - known}"


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

"""The schema as a promise: the agreed names are all there, everything is described, and the file is up to date."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    DocumentNode,
    EnumTypeDefinitionNode,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    build_schema,
    parse,
    print_ast,
)

from hub.api.export import TARGET, main, printed
from hub.api.schema import schema

SKETCH = Path(__file__).with_name("sketch.graphql")


@pytest.fixture(scope="module")
def sketch() -> DocumentNode:
    return parse(SKETCH.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def ours() -> dict[str, Any]:
    return {node.name.value: node for node in parse(schema.as_str()).definitions if hasattr(node, "name") and node.name}


def test_the_file_holds_the_schema_that_is_served() -> None:
    assert TARGET.read_text(encoding="utf-8") == printed(), "run `make schema`"
    assert main(["--check"]) == 0


def test_the_file_is_a_valid_schema() -> None:
    build_schema(TARGET.read_text(encoding="utf-8"))


def test_every_name_of_the_sketch_is_there_with_its_type_arguments_and_defaults(
    sketch: DocumentNode, ours: dict[str, Any]
) -> None:
    assert list(missing(sketch, ours)) == []


def missing(sketch: DocumentNode, ours: dict[str, Any]) -> Iterator[str]:
    for wanted in sketch.definitions:
        name = wanted.name.value
        if name not in ours:
            yield name
            continue
        if isinstance(wanted, EnumTypeDefinitionNode):
            offered = {value.name.value for value in ours[name].values}
            yield from (f"{name}.{value.name.value}" for value in wanted.values if value.name.value not in offered)
            continue
        for interface in getattr(wanted, "interfaces", None) or ():
            if print_ast(interface) not in map(print_ast, ours[name].interfaces):
                yield f"{name} implements {print_ast(interface)}"
        offered_fields = {field.name.value: field for field in getattr(ours[name], "fields", None) or ()}
        for field in getattr(wanted, "fields", None) or ():
            yield from differing(f"{name}.{field.name.value}", field, offered_fields.get(field.name.value))


def differing(place: str, wanted: Any, offered: Any) -> Iterator[str]:
    if offered is None:
        yield place
        return
    if shape(wanted) != shape(offered):
        yield f"{place}: {shape(offered)}, not {shape(wanted)}"
    offered_arguments = {argument.name.value: argument for argument in getattr(offered, "arguments", None) or ()}
    for argument in getattr(wanted, "arguments", None) or ():
        yield from differing(f"{place}({argument.name.value})", argument, offered_arguments.get(argument.name.value))


def shape(node: Any) -> str:
    default = getattr(node, "default_value", None)
    return print_ast(node.type) + (f" = {print_ast(default)}" if default else "")


def test_whatever_the_sketch_lets_be_left_out_may_be_left_out(sketch: DocumentNode, ours: dict[str, Any]) -> None:
    for wanted in sketch.definitions:
        known = {field.name.value for field in getattr(wanted, "fields", None) or ()}
        for field in getattr(ours[wanted.name.value], "fields", None) or ():
            if "Input" in type(wanted).__name__ and field.name.value not in known:
                assert not print_ast(field.type).endswith("!"), f"{wanted.name.value}.{field.name.value}"


@pytest.mark.parametrize("noun", ["Purpose", "Segment", "Consent", "Destination", "Sync", "Run"])
def test_a_payload_is_the_thing_or_its_errors(noun: str) -> None:
    fields = schema._schema.type_map[f"{noun}Payload"].fields
    assert str(fields[noun.lower()].type) == noun
    assert str(fields["errors"].type) == "[UserError!]!"


@pytest.mark.parametrize("noun", ["Segment", "Profile", "Sync", "Run", "Rejection"])
def test_a_connection_has_edges_nodes_a_page_and_a_total(noun: str) -> None:
    fields = schema._schema.type_map[f"{noun}Connection"].fields
    shapes = {name: str(field.type) for name, field in fields.items()}
    assert shapes == {
        "edges": f"[{noun}Edge!]!",
        "nodes": f"[{noun}!]!",
        "pageInfo": "PageInfo!",
        "totalCount": "Int!",
    }


def test_everything_is_described() -> None:
    assert list(undescribed()) == []


def undescribed() -> Iterator[str]:
    for name, kind in schema._schema.type_map.items():
        if name.startswith("__"):
            continue
        if not kind.description:
            yield name
        if isinstance(kind, GraphQLEnumType):
            yield from (f"{name}.{value}" for value, found in kind.values.items() if not found.description)
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            for field, found in kind.fields.items():
                if not found.description:
                    yield f"{name}.{field}"
                arguments = getattr(found, "args", {})
                yield from (f"{name}.{field}({arg})" for arg, said in arguments.items() if not said.description)

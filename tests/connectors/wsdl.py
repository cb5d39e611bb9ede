"""JSON bodies held against the types of a WSDL, whose REST bindings name everything as the SOAP ones do."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.connectors.descriptions import described

XS = "{http://www.w3.org/2001/XMLSchema}"
# Long numbers travel as text in JSON, or as numbers.
SIMPLE = {"string": r".*", "long": r"-?[0-9]{1,19}", "int": r"-?[0-9]{1,10}", "boolean": r"True|False"}


class Wsdl:
    """Objects are closed, so that a misspelt element is found; what must occur must be there."""

    def __init__(self, vendor: str, file: str) -> None:
        self.types = _types(described(vendor, file))

    def validate(self, element: str, body: Any) -> None:
        """The body of a request element; raises where it is not as described."""
        self._object(self.types[element], body, element)

    def _object(self, type_: ElementTree.Element, value: Any, where: str) -> None:
        assert isinstance(value, dict), f"{where} must be an object"
        elements = {one.attrib["name"]: one for one in self._elements(type_)}
        assert value.keys() <= elements.keys(), f"not described of {where}: {value.keys() - elements.keys()}"
        for name, element in elements.items():
            assert name in value or element.get("minOccurs") == "0", f"{where} needs {name}"
            if name in value:
                self._value(_local(element.attrib["type"]), value[name], f"{where}.{name}")

    def _elements(self, type_: ElementTree.Element) -> list[ElementTree.Element]:
        base = next((_local(one.attrib["base"]) for one in type_.iter(f"{XS}extension")), None)
        inherited = self._elements(self.types[base]) if base else []
        return [*inherited, *(one for one in type_.iter(f"{XS}element") if one is not type_)]

    def _value(self, name: str, value: Any, where: str) -> None:
        if name in SIMPLE:
            assert re.fullmatch(SIMPLE[name], str(value)), f"{where} must be a {name}"
        elif name.startswith("ArrayOf"):
            for item in value:
                self._value(name.removeprefix("ArrayOf"), item, f"{where}[]")
        elif allowed := [one.attrib["value"] for one in self.types[name].iter(f"{XS}enumeration")]:
            assert value in allowed, f"{where} must be one of {allowed}"
        else:
            # Of a family of types, JSON tells by `Type` which is meant.
            named = value.get("Type") if isinstance(value, dict) else None
            self._object(self.types.get(str(named), self.types[name]), value, where)


@functools.cache
def _types(path: Path) -> dict[str, ElementTree.Element]:
    root = ElementTree.parse(path).getroot()  # a file of ours
    elements = {
        one.attrib["name"]: one for one in root.iter(f"{XS}element") if one.find(f"{XS}complexType") is not None
    }
    kinds = (*root.iter(f"{XS}complexType"), *root.iter(f"{XS}simpleType"))
    return elements | {one.attrib["name"]: one for one in kinds if "name" in one.attrib}


def _local(name: str) -> str:
    return name.rpartition(":")[2]

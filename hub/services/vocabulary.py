"""What a connector's own code says, which is what may be shown of its requests: segments of paths, keys of bodies."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from types import ModuleType

from hub.core.shapes import Vocabulary
from hub.plugins import ConnectorClass

# Google names methods behind a colon: `audienceMembers:ingest`.
_SEGMENT = re.compile(r"[A-Za-z0-9_.~:-]{1,40}")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,60}")
# How vendors speak of what went wrong.
_USUAL = frozenset(
    {"code", "detail", "details", "error", "errors", "id", "message", "reason", "status", "title", "type"}
)


@cache
def vocabulary_of(connector: ConnectorClass) -> Vocabulary:
    """The words in the code of the connector's package, as far as it can be read: without it nothing is shown."""
    segments, keys = set[str](), set(_USUAL)
    for module in _modules(connector):
        for node in ast.walk(_tree(module)):
            for word in _words(node):
                if "/" in word:
                    segments.update(part for part in word.split("/") if _SEGMENT.fullmatch(part))
                elif _KEY.fullmatch(word):
                    keys.add(word)
    return Vocabulary(frozenset(segments), frozenset(keys))


def _modules(connector: ConnectorClass) -> Iterator[ModuleType]:
    plugin = _plugin(connector.__module__)
    for other, module in list(sys.modules.items()):
        if other in {plugin, connector.__module__} or other.startswith(f"{plugin}."):
            yield module


def _plugin(name: str) -> str:
    """The module or the package that offers the connector: its neighbours there are words of others."""
    parts = name.split(".")
    above = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((one for one in above if hasattr(sys.modules.get(one), "hub_connectors")), name)


def _tree(module: ModuleType) -> ast.AST:
    try:
        return ast.parse(inspect.getsource(module))
    except (OSError, TypeError, SyntaxError):
        return ast.Module([], [])


def _words(node: ast.AST) -> Iterator[str]:
    """Texts, and the names of a model's fields and of keyword arguments, which become keys."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.keyword(arg=str(name)):
            yield name

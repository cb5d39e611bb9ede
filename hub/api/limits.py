"""How large a request may be, judged from its text before any resolver is called.

The text is bounded first (tokens, nesting), since only a bounded text is safe to parse; then the document (depth,
aliases, root fields, directives, objects). Each limit has its own message; all carry the code LIMIT.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSyntaxError,
    InlineFragmentNode,
    IntValueNode,
    Lexer,
    OperationDefinitionNode,
    SelectionNode,
    Source,
    TokenKind,
    ValidationContext,
    ValidationRule,
    VariableNode,
    Visitor,
    visit,
)

from hub.api.types.connection import LARGEST_PAGE, PAGE

MOST_TOKENS: Final = 1_000
# Each level of nesting costs the parser some of Python's stack, so it is bounded before parsing.
DEEPEST_NESTING: Final = 50
DEEPEST: Final = 12
# The standard introspection query follows `ofType` nine times.
DEEPEST_INTROSPECTION: Final = 18
MOST_ALIASES: Final = 15
MOST_ROOT_FIELDS: Final = 10
MOST_DIRECTIVES: Final = 50
MOST_OBJECTS: Final = 50_000
DEEPEST_JSON: Final = 32
SECONDS: Final = 20.0

OPENING = {TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L}
CLOSING = {TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R}


def too_large(message: str, code: str = "LIMIT") -> GraphQLError:
    return GraphQLError(message, extensions={"code": code})


def refusal_of_text(query: str, variables: Mapping[str, Any] | None) -> GraphQLError | None:
    """What makes a request's text too large to look at; None when it may be parsed."""
    try:
        return _refusal_of_tokens(query) or _refusal_of_values(variables)
    except GraphQLSyntaxError as error:
        return error


def _refusal_of_tokens(query: str) -> GraphQLError | None:
    nesting = 0
    for tokens, (kind, value) in enumerate(_tokens(query), 1):
        nesting += (kind in OPENING) - (kind in CLOSING)
        if tokens > MOST_TOKENS:
            return too_large(f"The query has more than {MOST_TOKENS:,} tokens: ask for less at once, or use variables.")
        if nesting > DEEPEST_NESTING:
            return too_large(f"The query nests more than {DEEPEST_NESTING} brackets deep.")
        if value and not storable(value):
            return too_large(NOT_TEXT, "INVALID")
    return None


def _tokens(query: str) -> Iterator[tuple[TokenKind, str | None]]:
    lexer = Lexer(Source(query))
    while (token := lexer.advance()).kind is not TokenKind.EOF:
        yield token.kind, token.value


NOT_TEXT = "A text holds a NUL character or half a surrogate pair, which no store can keep."


def storable(text: str) -> bool:
    """Whether every store can keep the text as it is."""
    return "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def _refusal_of_values(variables: Any, depth: int = 0) -> GraphQLError | None:
    if isinstance(variables, str):
        return None if storable(variables) else too_large(NOT_TEXT, "INVALID")
    if depth > DEEPEST_JSON:
        return too_large(f"The variables nest more than {DEEPEST_JSON} levels deep.")
    if not isinstance(variables, dict | list):
        return None
    inside: Iterable[Any] = [*variables.keys(), *variables.values()] if isinstance(variables, dict) else variables
    return next((found for value in inside if (found := _refusal_of_values(value, depth + 1))), None)


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a selection reaches: the deepest field, the deepest introspection field, aliases, and objects."""

    depth: int = 0
    introspection: int = 0
    aliases: int = 0
    objects: int = 0

    def __add__(self, other: Extent) -> Extent:
        return Extent(
            max(self.depth, other.depth),
            max(self.introspection, other.introspection),
            self.aliases + other.aliases,
            self.objects + other.objects,
        )


class Measure:
    """Measures selections; each fragment once, however often it is spread, so that the measuring itself stays small."""

    def __init__(self, document: DocumentNode) -> None:
        named = (node for node in document.definitions if isinstance(node, FragmentDefinitionNode))
        self._fragments = {node.name.value: node for node in named}
        self._known: dict[str, Extent] = {}

    def of(self, selections: Iterable[SelectionNode]) -> Extent:
        total = Extent()
        for selection in selections:
            total += self._of_one(selection)
        return total

    def _of_one(self, selection: SelectionNode) -> Extent:
        if isinstance(selection, FragmentSpreadNode):
            return self._of_fragment(selection.name.value)
        if isinstance(selection, FieldNode):
            return self._of_field(selection)
        return self.of(cast(InlineFragmentNode, selection).selection_set.selections)

    def _of_field(self, field: FieldNode) -> Extent:
        inside = self.of(field.selection_set.selections) if field.selection_set else Extent()
        objects = page_size(field) * (1 + inside.objects) if field.selection_set else 0
        aliases = inside.aliases + (field.alias is not None)
        if field.name.value.startswith("__"):
            return Extent(0, inside.depth + 1, aliases, objects)
        return Extent(inside.depth + 1, inside.introspection, aliases, objects)

    def _of_fragment(self, name: str) -> Extent:
        if name not in self._known:
            # A fragment that spreads itself counts as nothing here: another rule refuses it.
            self._known[name] = Extent()
            fragment = self._fragments.get(name)
            if fragment is not None:
                self._known[name] = self.of(fragment.selection_set.selections)
        return self._known[name]

    def root_fields(self, selections: Iterable[SelectionNode], seen: frozenset[str] = frozenset()) -> int:
        """How many fields stand at the root, those of fragments included."""
        count = 0
        for selection in selections:
            if isinstance(selection, FieldNode):
                count += 1
            elif isinstance(selection, FragmentSpreadNode):
                name = selection.name.value
                if name in self._fragments and name not in seen:
                    count += self.root_fields(self._fragments[name].selection_set.selections, seen | {name})
            else:
                count += self.root_fields(cast(InlineFragmentNode, selection).selection_set.selections, seen)
            if count > MOST_ROOT_FIELDS:
                break
        return count


def page_size(field: FieldNode) -> int:
    """How many things a field may bring: the page it asks for, the usual page of a connection, or one."""
    for argument in field.arguments or ():
        if argument.name.value == "first":
            if isinstance(argument.value, VariableNode):
                return LARGEST_PAGE
            return int(argument.value.value) if isinstance(argument.value, IntValueNode) else PAGE
    selections = field.selection_set.selections if field.selection_set else ()
    paged = any(isinstance(inner, FieldNode) and inner.name.value in {"nodes", "edges"} for inner in selections)
    return PAGE if paged else 1


class WithinLimits(ValidationRule):
    """Refuses a document that is too deep, too wide or too costly."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        for message in _excesses(context.document):
            context.report_error(too_large(message))


def _excesses(document: DocumentNode) -> Iterator[str]:
    measure = Measure(document)
    yield from _excess_of_nodes(document)
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode):
            yield from _excess_of_operation(measure, node)


def _excess_of_operation(measure: Measure, operation: OperationDefinitionNode) -> Iterator[str]:
    selections = operation.selection_set.selections
    extent, roots = measure.of(selections), measure.root_fields(selections)
    if extent.depth > DEEPEST:
        yield f"The query goes {extent.depth} fields deep; at most {DEEPEST} are allowed."
    if extent.introspection > DEEPEST_INTROSPECTION:
        yield f"The introspection goes {extent.introspection} fields deep; at most {DEEPEST_INTROSPECTION} are allowed."
    if extent.aliases > MOST_ALIASES:
        yield f"The query has {extent.aliases} aliases; at most {MOST_ALIASES} are allowed."
    if roots > MOST_ROOT_FIELDS:
        yield f"The query asks for more than {MOST_ROOT_FIELDS} fields at its root: send several requests."
    if extent.objects > MOST_OBJECTS:
        yield f"The query may bring more than {MOST_OBJECTS:,} objects: ask for smaller pages with `first`."


def _excess_of_nodes(document: DocumentNode) -> Iterator[str]:
    directives, pages = _directives_and_pages(document)
    if directives > MOST_DIRECTIVES:
        yield f"The query has {directives} directives; at most {MOST_DIRECTIVES} are allowed."
    if pages and max(pages) > LARGEST_PAGE:
        yield f"`first` is {max(pages)}; at most {LARGEST_PAGE} come at once: page on with `after`."


def _directives_and_pages(document: DocumentNode) -> tuple[int, list[int]]:
    counted = _Counting()
    visit(document, counted)
    return counted.directives, counted.pages


class _Counting(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.directives = 0
        self.pages: list[int] = []

    def enter_directive(self, *_: Any) -> None:
        self.directives += 1

    def enter_argument(self, node: Any, *_: Any) -> None:
        if node.name.value == "first" and isinstance(node.value, IntValueNode):
            self.pages.append(int(node.value.value))

"""From text to tree. Every refusal says where, and which word was probably meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib import resources

from lark import Lark, Token, UnexpectedCharacters, UnexpectedToken
from lark.exceptions import VisitError

from hub.core.rules.building import Builder
from hub.core.rules.tree import Condition, Position, walk
from hub.errors import ErrorCode, HubError, Problem, nearest

MAX_CHARACTERS = 500_000
MAX_NESTING = 64
MAX_LIST = 10_000
MAX_PARTS = 1_000
MAX_WORDS = 5_000
IN_LISTS = {"TEXT", "NUMBER", "COMMA"}
LISTED = {"TEXT", "NUMBER", "MINUS", "TRUE", "FALSE"}
TOO_LONG = f"A rule has at most {MAX_PARTS:,} parts; put some of them into a segment of their own."

WORDS = {
    "FUNCTION": ("count", "distinct", "sum", "avg", "min", "max", "first", "last"),
    "UNIT": ("seconds", "minutes", "hours", "days", "weeks", "day", "hour", "week", "minute", "second"),
}
NOT_KEYWORDS = {"$END", "WORD", "QUOTED", "TEXT", "NUMBER", "COMPARE", "PLUS", "MINUS", "TIMES", "DIVIDE"}
FOREIGN = {"==": "=", "<>": "!=", "&": "and", "|": "or", "!": "not", "'": '"', "“": '"', "”": '"', "„": '"', "’": '"'}


@lru_cache(maxsize=1_024)
def parse(text: str) -> Condition:
    """The rule as a tree of names and literals. Raises RULE_SYNTAX, or UNSUPPORTED for forms that are not there yet."""
    _refuse_what_no_rule_holds(text)
    try:
        tree = Builder().transform(_parser().parse(text))
    except UnexpectedToken as error:
        raise _unexpected_token(text, error) from None
    except UnexpectedCharacters as error:
        raise _unexpected_character(text, error) from None
    except VisitError as error:
        raise error.orig_exc from None
    rule = Builder.condition(tree)
    _refuse_the_overgrown(rule)
    return rule


@cache
def _parser() -> Lark:
    grammar = resources.files("hub.core.rules").joinpath("grammar.lark").read_text("utf-8")
    return Lark(grammar, parser="lalr", lexer="contextual", propagate_positions=True, postlex=_Brackets())


class _Brackets:
    """Counts brackets, list values and words while reading, to refuse a hostile rule before a tree is built."""

    always_accept = ()

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        depth = values = words = 0
        for token in stream:
            words += token.type not in IN_LISTS
            if token.type == "LPAR":
                depth, values = depth + 1, 0
            elif token.type == "RPAR":
                depth -= 1
            elif token.type == "COMMA":
                values += 1
            if depth > MAX_NESTING:
                raise _at(token).refuse(ErrorCode.RULE_SYNTAX, f"Brackets are nested more than {MAX_NESTING} deep.")
            if values >= MAX_LIST:
                raise _at(token).refuse(ErrorCode.RULE_SYNTAX, f"A list holds at most {MAX_LIST:,} values.")
            if words > MAX_WORDS:
                raise _at(token).refuse(ErrorCode.RULE_SYNTAX, TOO_LONG)
            yield token


def _refuse_what_no_rule_holds(text: str) -> None:
    if not text.strip():
        message = "A rule cannot be empty. For every profile, write `everyone`."
        raise Position().refuse(ErrorCode.RULE_SYNTAX, message, "everyone")
    if len(text) > MAX_CHARACTERS:
        raise Position().refuse(ErrorCode.RULE_SYNTAX, f"A rule has at most {MAX_CHARACTERS:,} characters.")
    if found := re.search("[\x00\ud800-\udfff]", text):
        message = "A rule cannot hold a NUL character or half a surrogate pair."
        raise _position(text, found.start()).refuse(ErrorCode.RULE_SYNTAX, message)


def _refuse_the_overgrown(rule: Condition) -> None:
    for parts, (node, depth) in enumerate(walk(rule), start=1):
        if depth > 2 * MAX_NESTING + 2:
            raise node.at.refuse(ErrorCode.RULE_SYNTAX, f"Parts are nested more than {MAX_NESTING} deep.")
        if parts > MAX_PARTS:
            raise node.at.refuse(ErrorCode.RULE_SYNTAX, TOO_LONG)


def _unexpected_token(text: str, error: UnexpectedToken) -> HubError:
    token, expected = error.token, error.accepts or error.expected
    if token.type == "$END":
        return _refusal(_end(text), f"The rule ends too early{_expectation(expected)}.", None)
    if token.type in {"COMMA", "RPAR"} and _is_of_a_list(expected):
        message = f"A value is missing before this `{token}`: take out the comma, or write another value."
        return _refusal(_at(token), message, None)
    before = re.search(r"(\w+)\s*$", text[: token.start_pos or 0])
    if token.type == "LPAR" and before:
        word = before[1]
        meant = nearest(word, ("did", *WORDS["FUNCTION"]))
        return _refusal(_position(text, before.start(1)), f"`{word}` is not something that takes brackets.", meant)
    if token.type == "COMPARE" and text[token.start_pos - 1 : token.start_pos] in {"=", "<"}:
        return _foreign(text, token.start_pos - 1)
    meant = nearest(str(token), _keywords(expected))
    expectation = "" if meant else _expectation(expected)
    return _refusal(_at(token), f"`{_shown(str(token))}` cannot stand here{expectation}.", meant)


def _unexpected_character(text: str, error: UnexpectedCharacters) -> HubError:
    where = error.pos_in_stream
    if text[where] == '"':
        return _refusal(_position(text, where), 'This text is never closed: a closing `"` is missing.', None)
    if text[where] == "`":
        return _refusal(_position(text, where), "This name is never closed: a closing backtick is missing.", None)
    return _foreign(text, where)


def _foreign(text: str, where: int) -> HubError:
    """Signs of other languages, with ours."""
    sign = next((sign for sign in FOREIGN if text.startswith(sign, where)), text[where])
    message = f"`{sign}` is not part of the rule language."
    if FOREIGN.get(sign) == '"':
        message = f"`{sign}` is not part of the rule language: text stands in straight double quotes."
    return _refusal(_position(text, where), message, FOREIGN.get(sign))


def _refusal(position: Position, message: str, suggestion: str | None) -> HubError:
    message += f" Did you mean `{suggestion}`?" if suggestion else ""
    return HubError(
        Problem(ErrorCode.RULE_SYNTAX, message, ("rule",), position.line, position.column, suggestion=suggestion)
    )


def _keywords(terminals: set[str]) -> list[str]:
    named = sorted(terminal for terminal in terminals if terminal.isalpha() and terminal not in NOT_KEYWORDS)
    words = [word for terminal in named for word in WORDS.get(terminal, (terminal.lower(),))]
    return [word for word in words if word not in {"lpar", "rpar", "comma", "dot"}]


def _is_of_a_list(terminals: set[str]) -> bool:
    return terminals - {"RPAR"} == LISTED


def _expectation(terminals: set[str]) -> str:
    if _is_of_a_list(terminals):
        return "; expected text in double quotes, a number, `true` or `false`"
    words = _keywords(terminals)
    return f"; expected {', '.join(f'`{word}`' for word in words)}" if 0 < len(words) <= 3 else ""


def _shown(token: str) -> str:
    return token if len(token) <= 40 else token[:39] + "…"


def _at(token: Token) -> Position:
    return Position(token.line or 1, token.column or 1)


def _position(text: str, offset: int) -> Position:
    return Position(text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1)


def _end(text: str) -> Position:
    return _position(text, len(text.rstrip()))

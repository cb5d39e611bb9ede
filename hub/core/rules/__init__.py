"""The rule language: text → tree → checked tree → SQL, plain words, or a verdict on one person."""

from __future__ import annotations


def in_words(text: str) -> str:
    """The rule in plain English. Raises HubError RULE_SYNTAX or UNSUPPORTED."""
    from hub.core.rules.explain import explain
    from hub.core.rules.syntax import parse

    return explain(parse(text))

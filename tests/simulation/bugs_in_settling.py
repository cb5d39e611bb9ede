"""Planted bugs of settling and planning: in the naive model, which the SQL is held against."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from hub.core.planning import Fate
from tests.simulation.planting import planted
from tests.warehouse import planning_model as model


def _settling(change: Callable[[model.Told], model.Told | None]) -> Any:
    fold = model.fold

    def wrong(held: model.Ledger, told: model.Told, *when: Any) -> set[str]:
        changed = change(told)
        return fold(held, changed, *when) if changed is not None else set()

    return patch.object(model, "fold", wrong)


def _taken_for(fate: Fate, other: Fate) -> Any:
    return _settling(lambda told: told._replace(fate=other) if told.fate is fate else told)


@planted
def settle_rejected_as_present() -> Iterator[None]:
    with _taken_for(Fate.REJECTED, Fate.ACCEPTED):
        yield


@planted
def settle_unknown_as_done() -> Iterator[None]:
    with _taken_for(Fate.UNKNOWN, Fate.ACCEPTED):
        yield


@planted
def settle_what_is_still_to_do_as_done() -> Iterator[None]:
    with _taken_for(Fate.RETRY, Fate.ACCEPTED):
        yield


@planted
def settle_forgets_the_unknown() -> Iterator[None]:
    with _settling(lambda told: None if told.fate is Fate.UNKNOWN else told):
        yield


def _never_again(op: str) -> Any:
    fold = model.fold

    def once(held: model.Ledger, told: model.Told, *when: Any) -> set[str]:
        folded = fold(held, told, *when)
        one = held.get(told.row.key)
        if one and one.again == op:
            held[told.row.key] = replace(one, again=None, fingerprint=None if op == "remove" else one.fingerprint)
        return folded

    return patch.object(model, "fold", once)


@planted
def a_remove_is_not_repeated_after_a_late_add() -> Iterator[None]:
    with _never_again("remove"):
        yield


@planted
def an_add_is_not_repeated_after_a_late_remove() -> Iterator[None]:
    with _never_again("add"):
        yield


@planted
def only_the_present_are_removed() -> Iterator[None]:
    may_be_there = model._may_be_there
    certain = lambda one, request: one.state == "present" and may_be_there(one, request)  # noqa: E731
    with patch.object(model, "_may_be_there", certain):
        yield

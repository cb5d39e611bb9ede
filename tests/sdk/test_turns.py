"""One after the other, and whoever had their turn is not asked for again."""

from __future__ import annotations

import pytest

from hub.sdk import Outcome, OutcomeKind, Person, TransientError, in_turn

PEOPLE = [Person(name, name) for name in ("ann", "bob", "cem", "dan")]
NOOP, THROTTLED = Outcome(OutcomeKind.NOOP), Outcome(OutcomeKind.RETRY, "throttled")


async def test_whoever_comes_behind_a_fault_is_tried_again_and_nobody_before() -> None:
    asked: list[str] = []

    async def ask(person: Person) -> Outcome | None:
        asked.append(person.key)
        if person.key == "cem":
            raise TransientError("throttled")
        return NOOP if person.key == "bob" else None

    result = await in_turn(PEOPLE, ask)
    assert result.outcomes == {"bob": NOOP, "cem": THROTTLED, "dan": THROTTLED}
    assert result.rest is OutcomeKind.ACCEPTED and asked == ["ann", "bob", "cem"]


async def test_a_fault_at_the_first_is_about_the_vendor() -> None:
    async def ask(_: Person) -> None:
        raise TransientError("throttled", retry_after=7)

    with pytest.raises(TransientError) as raised:
        await in_turn(PEOPLE, ask)
    assert raised.value.retry_after == 7

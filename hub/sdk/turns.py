"""People who are asked for one at a time, where a vendor takes no more of them at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from hub.sdk.contract import Outcome, OutcomeKind, Person, Result
from hub.sdk.errors import TransientError


async def in_turn(people: Sequence[Person], ask: Callable[[Person], Awaitable[Outcome | None]]) -> Result:
    """What `ask` says of each, None where they were accepted; for erasures, which may be asked for twice.

    A TransientError at the first is raised. At a later one, they and all behind them are to be tried again, and nobody
    before: else the same few would use up what the vendor allows, each time, and nobody would come after them."""
    outcomes: dict[str, Outcome] = {}
    for number, person in enumerate(people):
        try:
            outcome = await ask(person)
        except TransientError as error:
            if not number:
                raise
            again = Outcome(OutcomeKind.RETRY, error.reason)
            return Result(outcomes | {later.key: again for later in people[number:]})
        outcomes |= {person.key: outcome} if outcome else {}
    return Result(outcomes)

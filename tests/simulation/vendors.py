"""Model destinations, each with the quirk of a kind of vendor API, all behind the same unreliable network.

A vendor keeps what it was asked, and what it said about whom: the checker looks at nothing else of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from random import Random
from typing import NamedTuple

from hub.core.delivery.messages import Answer, Crashed
from hub.sdk.contract import Outcome, OutcomeKind, Result
from hub.sdk.errors import AuthError, RefusedError, TransientError

IN_FLIGHT_S = 900.0
"""As the connector declares it. The vendor keeps to less, by more than the hub's clock may be off."""
LATEST_S = 700.0
JOB_S = 1500.0
"""How long the hub asks after a job; what it does is done by then, again by more than the clock may be off."""
JOB_LATEST_S = 1300.0
BAD_LTV = 9.5

FAULTS = ("lost_answer", "late", "lost_request", "unsent", "throttled", "auth", "broken", "refused")


class Said(NamedTuple):
    key: str
    adds: bool
    payload: str


class Word(Enum):
    """What an answer that arrived said about one person."""

    TAKEN = auto()
    REFUSED = auto()
    SUPPRESSED = auto()
    AGAIN = auto()


@dataclass
class Request:
    """`arrived`: it may have had an effect, as far as the hub can know. `ended`: the hub no longer waits for it.
    `told`: when the words of a job became certain."""

    run: int
    at: float
    said: tuple[Said, ...]
    arrived: bool = True
    ended: float | None = None
    answered: bool = False
    words: Mapping[str, Word] = field(default_factory=dict)
    told: float = 0.0


class Reaction(NamedTuple):
    """The answer after so many seconds, and what becomes true at the vendor, each after seconds of its own."""

    answer: Answer
    seconds: float
    effects: list[tuple[float, Said]]
    words: Mapping[str, Word]
    arrived: bool = True


class Vendor:
    """Takes everybody who is not bad, says so, and says who was there before."""

    names_everybody = True
    follows = False

    def __init__(self, random: Random, moods: Mapping[str, int], poison: frozenset[str]) -> None:
        self.random = random
        self.moods = moods
        self.poison = poison
        self.calm = False
        self.healed = False
        self.there: dict[str, str] = {}
        self.suppressed: set[str] = set()
        self.refusals: Counter[str] = Counter()
        self.requests: list[Request] = []

    def receive(self, said: tuple[Said, ...]) -> Reaction:
        seconds = self.random.choice([0.01, 0.05, 3.0])
        mood = "ok" if self.calm else self.random.choices(list(self.moods), list(self.moods.values()))[0]
        reaction = self.answer(said, seconds) if mood == "ok" else self._fail(mood, said, seconds)
        self.refusals.update(key for key, word in reaction.words.items() if word is Word.REFUSED)
        return reaction

    def apply(self, one: Said) -> None:
        if not one.adds:
            self.there.pop(one.key, None)
        elif one.key not in self.suppressed:
            self.there[one.key] = one.payload

    def bad(self, one: Said) -> bool:
        return one.adds and not self.healed and (one.key in self.poison or one.payload.endswith(f"|{BAD_LTV}"))

    def takes(self, said: Iterable[Said]) -> list[Said]:
        """For whom a request that arrives has an effect."""
        return [one for one in said if not self.bad(one)]

    def answer(self, said: tuple[Said, ...], seconds: float) -> Reaction:
        outcomes = {one.key: Outcome(OutcomeKind.NOOP) for one in said if self._so_already(one)}
        outcomes |= {one.key: Outcome(OutcomeKind.REJECTED, "bad") for one in said if self.bad(one)}
        words = {one.key: Word.REFUSED if self.bad(one) else Word.TAKEN for one in said}
        return Reaction(Result(outcomes), seconds, self.soon(self.takes(said), seconds), words)

    def soon(self, said: Iterable[Said], within: float) -> list[tuple[float, Said]]:
        return [(self.random.uniform(0, within), one) for one in said]

    def sometimes(self, share: float) -> bool:
        return not self.calm and self.random.random() < share

    def _so_already(self, one: Said) -> bool:
        return self.there.get(one.key) == one.payload if one.adds else one.key not in self.there

    def _fail(self, mood: str, said: tuple[Said, ...], seconds: float) -> Reaction:
        timeout = TransientError("timed out")
        match mood:
            case "lost_answer":
                return Reaction(timeout, seconds, self.soon(self.takes(said), seconds), {})
            case "late":
                return Reaction(timeout, seconds, self.soon(self.takes(said), LATEST_S), {})
            case "lost_request":
                return Reaction(timeout, seconds, [], {})
            case "broken":
                return Reaction(Crashed("TypeError"), seconds, self.soon(self.takes(said)[::2], seconds), {})
            case "refused":
                return Reaction(RefusedError("archived"), seconds, [], {one.key: Word.REFUSED for one in said})
        return Reaction(self._unheard(mood), seconds, [], {}, arrived=False)

    def _unheard(self, mood: str) -> Answer:
        if mood == "auth":
            return AuthError("no entry")
        if mood == "throttled":
            return TransientError("slow down", self.random.uniform(1, 20), sent=False)
        return TransientError("no route", sent=False)


class AllOrNothing(Vendor):
    """One bad row spoils the batch, and nobody is told which."""

    def takes(self, said: Iterable[Said]) -> list[Said]:
        said = list(said)
        return [] if any(map(self.bad, said)) else said

    def answer(self, said: tuple[Said, ...], seconds: float) -> Reaction:
        if self.takes(said):
            return Reaction(Result(), seconds, self.soon(said, seconds), {one.key: Word.TAKEN for one in said})
        words = {one.key: Word.REFUSED if len(said) == 1 else Word.AGAIN for one in said}
        return Reaction(RefusedError("a row is bad", divisible=True), seconds, [], words)


class Partial(Vendor):
    """A word for each row: in, rejected, come again, unsubscribed; now and then it says nothing about some."""

    def answer(self, said: tuple[Said, ...], seconds: float) -> Reaction:
        words = {one.key: self._word(one) for one in said}
        vague = self.sometimes(0.1)
        taken = [one for one in said if words[one.key] is Word.TAKEN]
        if vague:
            words = {one.key: words[one.key] for one in said[::2]}
        outcomes = {key: _OUTCOMES[word] for key, word in words.items() if vague or word is not Word.TAKEN}
        rest = OutcomeKind.UNKNOWN if vague else OutcomeKind.ACCEPTED
        outcomes["nobody"] = Outcome(OutcomeKind.REJECTED, "a stranger")
        return Reaction(Result(outcomes, rest), seconds, self.soon(taken, seconds), words)

    def _word(self, one: Said) -> Word:
        if one.adds and (one.key in self.suppressed or self.sometimes(0.04)):
            self.suppressed.add(one.key)
            self.there.pop(one.key, None)
            return Word.SUPPRESSED
        if self.bad(one):
            return Word.REFUSED
        return Word.AGAIN if self.sometimes(0.15) else Word.TAKEN

    def takes(self, said: Iterable[Said]) -> list[Said]:
        return [one for one in super().takes(said) if not (one.adds and one.key in self.suppressed)]


_OUTCOMES = {
    Word.TAKEN: Outcome(OutcomeKind.ACCEPTED),
    Word.REFUSED: Outcome(OutcomeKind.REJECTED, "bad"),
    Word.SUPPRESSED: Outcome(OutcomeKind.SUPPRESSED, "unsubscribed"),
    Word.AGAIN: Outcome(OutcomeKind.RETRY, "locked"),
}


class CountOnly(Vendor):
    """Says how many rows were bad, and never which."""

    names_everybody = False

    def answer(self, said: tuple[Said, ...], seconds: float) -> Reaction:
        taken = self.takes(said)
        effects = self.soon(taken, seconds)
        if len(taken) == len(said):
            return Reaction(Result(), seconds, effects, {one.key: Word.TAKEN for one in said})
        return Reaction(Result({}, OutcomeKind.UNKNOWN, invalid=len(said) - len(taken)), seconds, effects, {})

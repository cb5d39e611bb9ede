"""One connector, set up as the hub would, with its vendor; and the hub's part of a run: batches, begin and finish."""
# ruff: noqa: S101 - tests assert

from __future__ import annotations

import hashlib
import itertools
import traceback
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import respx
from pydantic import BaseModel, SecretBytes, SecretStr

from hub.sdk.contract import Audience, Batch, Connector, FieldValue, Outcome, OutcomeKind, Person, Result
from hub.sdk.egress import EgressPolicy
from hub.sdk.errors import RefusedError
from hub.sdk.http import Http
from hub.sdk.testing.vendor import HttpVendor, Vendor
from hub.sdk.testing.wire import Wire
from hub.sdk.workspace import Workspace

DONE = frozenset({OutcomeKind.ACCEPTED, OutcomeKind.NOOP})
MOST_POLLS = 50


@dataclass
class Stage:
    connector: Connector[Any]
    vendor: Vendor
    wire: Wire
    fields: Mapping[str, FieldValue]
    runs: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def restart(self) -> None:
        """Another process speaks for the destination from now on, which remembers nothing of before."""
        before = self.connector
        self.connector = type(before)(before.config, before.http, before.workspace)

    def person(self, name: str, *, bare: bool = False) -> Person:
        """Someone of that name whom the vendor has known for long; `bare` as in a remove, without fields. Where the
        vendor takes several kinds of identifiers, by the first; hashed where it is to be spelled as the vendor says."""
        able = self.connector.limits()
        kind = able.identifiers[0] if able.identifiers else able.key
        key = key_of(kind, name)
        if able.identifiers:
            key = f"{kind}:{hashlib.sha256(key.encode()).hexdigest() if kind in able.spellings else key}"
        if key not in self.vendor.subscriptions:
            self.vendor.know(key)
        own = key if kind == "external_id" else f"kit-id-{name}"
        signals = {} if bare else dict.fromkeys(able.signals, True)
        return Person(own, key, {} if bare else dict(self.fields), signals)

    def people(self, *names: str, bare: bool = False) -> list[Person]:
        return [self.person(name, bare=bare) for name in names]

    async def send(
        self, audience: Audience, add: Sequence[Person] = (), remove: Sequence[Person] = ()
    ) -> dict[str, Outcome]:
        """A whole run: everyone's outcome by key."""
        run = f"run-{next(self.runs)}"
        await self.connector.begin(audience, run, snapshot=False)
        outcomes: dict[str, Outcome] = {}
        for batch in self.batches(add, remove, run):
            outcomes |= await self.halving(audience, batch)
        await self.connector.finish(audience, run)
        return outcomes

    async def halving(self, audience: Audience, batch: Batch) -> dict[str, Outcome]:
        """A batch and, where one row spoils it, its halves, until that row stands alone."""
        try:
            return await self.apply(audience, batch)
        except RefusedError as error:
            if not error.divisible or len(batch) == 1:
                return {one.key: Outcome(OutcomeKind.REJECTED, error.reason) for one in (*batch.add, *batch.remove)}
        outcomes: dict[str, Outcome] = {}
        for half in _halves(batch):
            outcomes |= await self.halving(audience, half)
        return outcomes

    async def apply(self, audience: Audience, batch: Batch) -> dict[str, Outcome]:
        result = await self.connector.apply(audience, batch)
        everyone = [person.key for person in (*batch.add, *batch.remove)]
        told = dict(result.outcomes)
        if result.job is not None:
            result = await self.follow(audience, result.job, [key for key in everyone if key not in told])
        told |= result.outcomes
        return {key: told.get(key, Outcome(result.rest)) for key in everyone}

    async def follow(self, audience: Audience, job: str, keys: Sequence[str]) -> Result:
        """The last word on a job."""
        for _ in range(MOST_POLLS):
            result = await self.connector.poll(audience, job, keys)
            if result.job is None:
                return result
        raise AssertionError(f"asked after {MOST_POLLS} times, the job still runs")

    def batches(self, add: Sequence[Person], remove: Sequence[Person], run: str = "run-0") -> list[Batch]:
        """As the hub would cut them: adds and removes together unless there are jobs, never more people than the
        connector takes."""
        most = self.connector.limits().batch
        if self.connector.limits().jobs and add and remove:
            return self.batches(add, (), run) + self.batches((), remove, run)
        everyone = [(person, True) for person in add] + [(person, False) for person in remove]
        return [
            Batch(
                add=[person for person, added in everyone[start : start + most] if added],
                remove=[person for person, added in everyone[start : start + most] if not added],
                sync="kit-sync",
                run=run,
            )
            for start in range(0, len(everyone), most)
        ]

    def one_batch(self, *, removing: bool = False) -> Batch:
        """The first batch of a small run, with a remove in it where the vendor takes both at once."""
        add = self.people("ann", "bob")
        return self.batches((), self.people("ann", bare=True))[0] if removing else self.batches(add, ())[0]

    def assert_members(self, audience: Audience, *names: str) -> None:
        """The people of these names are in the audience at the vendor, and nobody else."""
        there, wanted = self.vendor.members(audience), {person.key for person in self.people(*names)}
        said = f"lacks {_few(wanted - there)} and has {_few(there - wanted)} too many"
        assert there == wanted, f"{type(self.vendor).__name__}.members() {said}"

    def private(self) -> set[str]:
        """What must never show: the secrets of the configuration and everything about the kit's people."""
        people = [self.person(name) for name in ("ann", "bob", "refused")]
        told = {text for person in people for text in (person.key, person.id, *map(str, person.fields.values()))}
        return {text for text in told | set(secrets_in(self.connector.config)) if len(text) > 3}

    def leaks(self, error: BaseException) -> set[str]:
        """What of the private an error shows, with all the errors it came from."""
        shown = ""
        chain: BaseException | None = error
        while chain is not None:
            # Only what the errors say: the source lines of a whole traceback are the connector's own words.
            shown += "".join(traceback.format_exception_only(chain)) + repr(chain)
            chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
        return {text for text in self.private() if text in shown}


@asynccontextmanager
async def staged(
    connector: type[Connector[Any]], config: Mapping[str, Any], vendor: Vendor, fields: Mapping[str, FieldValue]
) -> AsyncIterator[Stage]:
    wire = Wire(vendor if isinstance(vendor, HttpVendor) else None)
    with TemporaryDirectory() as folder, respx.mock(assert_all_called=False) as mock:
        mock.route().mock(side_effect=wire.answer)
        vendor.folder = Path(folder)
        async with Http(EgressPolicy(vendor.listens)) as http:
            settings = connector.Config.model_validate(dict(config))
            yield Stage(connector(settings, http, Workspace(Path(folder))), vendor, wire, fields)


def assert_done(outcomes: Mapping[str, Outcome]) -> None:
    """Everybody was accepted, or was there (or gone) already."""
    others = [
        f"{key} {outcome.kind}: {outcome.reason}" for key, outcome in outcomes.items() if outcome.kind not in DONE
    ]
    assert not others, f"the vendor refused nobody, yet the connector says {_few(others)}"


def _few(names: Collection[str]) -> str:
    shown = ", ".join(sorted(names)[:3]) or "nobody"
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _halves(batch: Batch) -> Iterator[Batch]:
    everyone = [(person, True) for person in batch.add] + [(person, False) for person in batch.remove]
    middle = len(everyone) // 2
    for half in (everyone[:middle], everyone[middle:]):
        add, remove = ([person for person, added in half if added is wanted] for wanted in (True, False))
        yield replace(batch, add=add, remove=remove)


def gist_of(result: Result) -> tuple[OutcomeKind, dict[str, OutcomeKind]]:
    """What it says of everybody: reasons may be worded anew each time."""
    return result.rest, {key: outcome.kind for key, outcome in result.outcomes.items()}


def key_of(kind: str, name: str) -> str:
    if kind == "email":
        return f"{name}@kit.example"
    if kind == "phone":
        return f"+49151{sum(name.encode()):08d}"
    return f"kit-{kind.replace('_', '-')}-{name}"


def secrets_in(value: Any) -> Iterator[str]:
    """Every secret text in a configuration, however deep."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, SecretBytes):
        yield value.get_secret_value().decode(errors="replace")
    elif isinstance(value, BaseModel):
        for _, item in value:
            yield from secrets_in(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from secrets_in(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from secrets_in(item)

"""What a connector is: a configuration, a few certain capabilities, and the calls that speak to one vendor.

The hub batches, normalises, checks consent, rate-limits, retries and records. A connector only speaks.
"""
# ruff: noqa: ARG002 - the defaults refuse whatever they are given

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

from pydantic import BaseModel

from hub.sdk.limits import Limit
from hub.sdk.workspace import NOWHERE, Workspace

if TYPE_CHECKING:
    from hub.sdk.http import Http

KEYS = frozenset({"external_id", "email", "phone", "device_id", "ad_id", "push_token", "user_id"})
"""What may name a person at a vendor: the hub's external id, or a kind of identifier."""

FieldValue = str | float | int | bool | Sequence[str] | None


class Channel(StrEnum):
    EMAIL = "EMAIL"
    ADS = "ADS"
    PUSH = "PUSH"
    CMS = "CMS"
    GENERIC = "GENERIC"


class Person(NamedTuple):
    """One person in a batch. `key` is what the vendor knows them by (see `Capabilities.key`), `id` the hub's external
    id, `fields` the mapped traits under the vendor's names (empty in a remove)."""

    id: str
    key: str
    fields: Mapping[str, FieldValue] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Batch:
    """People to add (or update) and people to remove, never one person in both."""

    add: Sequence[Person] = ()
    remove: Sequence[Person] = ()
    sync: str = ""
    run: str = ""

    def __len__(self) -> int:
        return len(self.add) + len(self.remove)


@dataclass(frozen=True, slots=True)
class Audience:
    """An audience at the vendor: `name` as the admin wrote it, `ref` the vendor's own id for it."""

    name: str
    ref: str


@dataclass(frozen=True, slots=True)
class Account:
    """What `check` found: a label the admin recognises."""

    label: str


class OutcomeKind(StrEnum):
    ACCEPTED = "accepted"
    NOOP = "noop"
    REJECTED = "rejected"
    SUPPRESSED = "suppressed"
    RETRY = "retry"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one person; `reason` is the vendor's, without personal data."""

    kind: OutcomeKind
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """Exceptions from the rule: person key → outcome; everyone else had `rest`, ACCEPTED or UNKNOWN.

    `job` is the vendor's id of an asynchronous job that is still open: everyone else is in it, and it is to `poll`, not
    before `retry_after` seconds where the vendor says so. `invalid` is the vendor's count of bad rows where it names
    none; it stays on the batch and is never guessed onto people.
    """

    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    rest: OutcomeKind = OutcomeKind.ACCEPTED
    job: str | None = None
    invalid: int = 0
    retry_after: float | None = None

    def merged(self, other: Result) -> Result:
        """Both results of a batch that went out as two calls; `rest` must agree, since it speaks for all others. Only
        one may have a job: the hub never mixes adds and removes where there are jobs."""
        rest = self.rest if self.rest is other.rest else OutcomeKind.UNKNOWN
        outcomes, invalid = {**self.outcomes, **other.outcomes}, self.invalid + other.invalid
        return Result(outcomes, rest, self.job or other.job, invalid, self.retry_after or other.retry_after)


class ListedAs(StrEnum):
    """How a vendor names people when it is asked who is in an audience: by the key that they were sent under, or by a
    hash of it in lower-case hex."""

    KEY = "key"
    MD5 = "md5"
    SHA256 = "sha256"

    def called(self, key: str) -> str:
        """What the vendor calls the person of this key."""
        return key if self is ListedAs.KEY else hashlib.new(self.value, key.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Page:
    """Some of an audience's members, named as `Capabilities.listed_as` says; one may come twice. `next` leads to the
    page after it, None from the last one. `total` is how many there are over all pages, where the vendor says so."""

    members: Sequence[str]
    next: str | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the vendor certainly can do; no maybe-fields.

    `key` is the identifier that names a person there: `external_id`, or one of `KEYS`, such as `email`.
    `batch` is the most people in one call; `concurrency` the calls of `apply` in flight per destination.
    `replace` takes a whole audience in one run, `erase` deletes people, `feedback` reads the vendor's unsubscribes,
    `jobs` answers later, `snapshot` wants everybody in every run. `read_back` lists an audience, naming people by
    `listed_as`; `counts` says how many are in it, where that is all there is to know.
    `job_deadline_s` is how long after it was submitted a job is asked after and may still take effect: beyond it, what
    became of the people in it counts as unknown.
    `limits` are what the vendor allows, per destination; the hub waits before a call rather than go beyond them.
    `in_flight_s` is how long an unanswered request may still take effect (law L7).
    """

    key: str = "external_id"
    batch: int = 1000
    concurrency: int = 4
    remove: bool = True
    replace: bool = False
    read_back: bool = False
    listed_as: ListedAs = ListedAs.KEY
    counts: bool = False
    erase: bool = False
    feedback: bool = False
    jobs: bool = False
    idempotent: bool = True
    snapshot: bool = False
    in_flight_s: float = 900.0
    job_deadline_s: float = 3600.0
    limits: tuple[Limit, ...] = ()

    @property
    def lands_within_s(self) -> float:
        """How long what went unanswered may still take effect: the answer may have named a job."""
        return max(self.in_flight_s, self.job_deadline_s) if self.jobs else self.in_flight_s


C = TypeVar("C", bound=BaseModel)


class Connector(ABC, Generic[C]):
    """Subclass, set the class variables, write `check`, `ensure_audience`, `add` and `remove`.

    One instance serves one destination for as long as its configuration stands; calls may overlap. All HTTP goes
    through `self.http`, all files into `self.workspace`. Raise `TransientError`, `AuthError` or `RefusedError` for a
    whole batch.
    """

    key: ClassVar[str]
    title: ClassVar[str]
    channel: ClassVar[Channel]
    capabilities: ClassVar[Capabilities]
    Config: ClassVar[type[BaseModel]]

    def __init__(self, config: C, http: Http, workspace: Workspace = NOWHERE) -> None:
        self.config = config
        self.http = http
        self.workspace = workspace

    def limits(self) -> Capabilities:
        """The capabilities under this configuration: override where `key`, `batch` or `concurrency` can be configured.
        The hub plans and sends by these."""
        return self.capabilities

    @abstractmethod
    async def check(self) -> Account:
        """Prove that the credentials work, without changing anything."""

    @abstractmethod
    async def ensure_audience(self, name: str) -> Audience:
        """Find or create the audience of that name; calling it twice yields the same one."""

    async def apply(self, audience: Audience, batch: Batch) -> Result:
        """Carry out one batch. Override only where the vendor takes adds and removes in one call."""
        added = await self.add(audience, batch.add) if batch.add else Result()
        removed = await self.remove(audience, batch.remove) if batch.remove else Result()
        return added.merged(removed) if batch.add and batch.remove else (added if batch.add else removed)

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        raise TypeError(f"{type(self).__name__} must define add or apply")

    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        raise TypeError(f"{type(self).__name__} must define remove or apply")

    async def members_page(self, audience: Audience, cursor: str | None = None) -> Page:
        """Read back part of the audience (`Capabilities.read_back`): the first page, or the one that a page before
        called `next`. Each is one call, which changes nothing and may be repeated at any time, also by another process.

        Override this, or `members` where the vendor tells everybody at once.
        """
        if type(self).members is Connector.members:
            raise TypeError(f"{type(self).__name__} cannot read members back")
        return Page([member async for member in self.members(audience)])

    async def members(self, audience: Audience) -> AsyncIterator[str]:
        """Everybody in the audience, page by page."""
        if type(self).members_page is Connector.members_page:
            raise TypeError(f"{type(self).__name__} cannot read members back")
        cursor: str | None = None
        while True:
            page = await self.members_page(audience, cursor)
            for member in page.members:
                yield member
            if (cursor := page.next) is None:
                return

    async def count(self, audience: Audience) -> int:
        """How many people are in the audience (`Capabilities.counts`)."""
        raise TypeError(f"{type(self).__name__} cannot count members")

    async def poll(self, audience: Audience, job: str, keys: Sequence[str]) -> Result:
        """What has become of an asynchronous job (`Capabilities.jobs`): a Result that names the job again while it
        runs, else one that says for good what became of those in it. Asking changes nothing and may be repeated at any
        time, also by another process.

        `keys` are the people in it, in the order in which they were sent, all added or all removed. Of a job that
        failed as a whole, say so of each of them. An error raised here is about the asking, never about the people.
        """
        raise TypeError(f"{type(self).__name__} has no jobs")

    async def erase(self, people: Sequence[Person]) -> Result:
        """Erase the people at the vendor (`Capabilities.erase`)."""
        raise TypeError(f"{type(self).__name__} cannot erase")

    async def begin(self, audience: Audience, run: str, *, snapshot: bool) -> None:
        """Called before a run's first batch, again on resume: for connectors that write one artefact per run."""

    async def finish(self, audience: Audience, run: str) -> None:
        """Called once every batch of the run has an outcome; may be repeated after a crash."""

    @classmethod
    def config_schema(cls) -> dict[str, Any]:
        return cls.Config.model_json_schema()

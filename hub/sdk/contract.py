"""What a connector is: a configuration, a few certain capabilities, and the calls that speak to one vendor.

The hub batches, normalises, checks consent, rate-limits, retries and records. A connector only speaks.
"""
# ruff: noqa: ARG002 - the defaults refuse whatever they are given

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

from hub.sdk.capabilities import KEYS, ApiVersion, Capabilities, ListedAs
from hub.sdk.config import ConnectorConfig
from hub.sdk.feedback import Feedback, Inbound
from hub.sdk.workspace import NOWHERE, Workspace

if TYPE_CHECKING:
    from hub.sdk.http import Http

__all__ = [
    "KEYS",
    "Account",
    "ApiVersion",
    "Audience",
    "Batch",
    "Capabilities",
    "Channel",
    "Connector",
    "FieldValue",
    "ListedAs",
    "Outcome",
    "OutcomeKind",
    "Page",
    "Person",
    "Result",
]

FieldValue = str | float | int | bool | Sequence[str] | None


class Channel(StrEnum):
    EMAIL = "EMAIL"
    ADS = "ADS"
    PUSH = "PUSH"
    CMS = "CMS"
    GENERIC = "GENERIC"


class Person(NamedTuple):
    """One person in a batch. `key` is what the vendor knows them by (see `Capabilities.key`), and never empty; `id` is
    the hub's external id, `fields` are the mapped traits under the vendor's names (empty in a remove). `signals`
    say, by the names of `Capabilities.signals`, what the person has agreed to (empty in a remove).

    Where the vendor takes all `Capabilities.identifiers` of a person, each comes as a row of its own, and its key reads
    `email:ann@example.com`: `kind` and `value` are its parts, and neither is ever empty.
    """

    id: str
    key: str
    fields: Mapping[str, FieldValue] = MappingProxyType({})
    signals: Mapping[str, bool] = MappingProxyType({})

    @property
    def kind(self) -> str:
        return self.key.partition(":")[0]

    @property
    def value(self) -> str:
        return self.key.partition(":")[2]


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
    """What became of one person. ACCEPTED is the rule and need not be said; a NOOP was so already. The vendor has
    REJECTED the values it was sent, or has SUPPRESSED the person, whatever is sent of them. RETRY was not done, and is
    tried again; of UNKNOWN nobody can say whether it was."""

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


@dataclass(frozen=True, slots=True)
class Page:
    """Some of an audience's members, named as `Capabilities.listed_as` says; one may come twice. `next` leads to the
    page after it, None from the last one. `total` is how many there are over all pages, where the vendor says so."""

    members: Sequence[str]
    next: str | None = None
    total: int | None = None


C = TypeVar("C", bound=ConnectorConfig)


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
    Config: ClassVar[type[ConnectorConfig]]
    scopes: ClassVar[Sequence[str]] = ()
    """The least that the credentials must be allowed, in the vendor's words."""
    versions: ClassVar[Sequence[ApiVersion]] = ()
    """The API's versions that this connector was tested with, where they are dated: the configuration's `api_version`
    chooses one, and the admin is told when it lapses."""

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

    def feedback(self, request: Inbound) -> Sequence[Feedback]:
        """What the vendor tells by calling us (`Capabilities.feedback`), once the request is shown to come from there;
        raises Unverified otherwise, and before anything in the body is read. Whatever does not take a permission away
        is left out."""
        raise TypeError(f"{type(self).__name__} takes no feedback")

    async def recognised(self, heard: Sequence[Feedback]) -> Sequence[Feedback]:
        """The same notices by identifiers of the hub's. Override where the vendor names people by its own ids, which
        `feedback` hands on as the kind `native`: ask the vendor who they are, change nothing, and leave out whom it
        does not know. An error raised here is about the asking: the vendor is to tell us again."""
        return heard

    async def erase(self, people: Sequence[Person]) -> Result:
        """Erase the people at the vendor (`Capabilities.erase`), by every key that the hub has of them: whoever the
        vendor does not know is erased already. It may be called again. Only who is accepted, or a no-op, counts as
        erased; the others are asked for again, and so is everybody in a `job`, since nobody asks after it."""
        raise TypeError(f"{type(self).__name__} cannot erase")

    async def begin(self, audience: Audience, run: str, *, snapshot: bool) -> None:
        """Called before a run's first batch, again on resume: for connectors that write one artefact per run."""

    async def finish(self, audience: Audience, run: str) -> None:
        """Called once every batch of the run has an outcome; may be repeated after a crash."""

    @classmethod
    def config_schema(cls) -> dict[str, Any]:
        return cls.Config.model_json_schema()

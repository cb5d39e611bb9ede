"""What a vendor certainly can do, as data that the hub plans and sends by, and that an admin can read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from hub.sdk.limits import Limit

KEYS = frozenset({"external_id", "email", "phone", "device_id", "ad_id", "push_token", "user_id"})
"""What may name a person at a vendor: the hub's external id, or a kind of identifier."""


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
class Capabilities:
    """What the vendor certainly can do; no maybe-fields.

    `key` is the identifier that names a person there: `external_id`, or one of `KEYS`, such as `email`; the newest of
    its kind. With `identifiers` it is every identifier of those kinds instead, each a row of its own (see `Person`).
    `spellings` say how the vendor wants identifiers (by kind) and mapped fields (by the vendor's name) normalised and
    hashed, in the hub's words for it, such as `{"email": "meta.email"}`: they arrive spelled so. `signals` are the
    consent signals that go along with each person, such as Google's `adUserData`.
    `batch` is the most people in one call; `concurrency` the calls of `apply` in flight per destination.
    `replace` takes a whole audience in one run, `erase` deletes people, `feedback` reads the vendor's unsubscribes,
    `jobs` answers later, `snapshot` wants everybody in every run. `read_back` lists an audience, naming people by
    `listed_as`; `counts` says how many are in it, where that is all there is to know.
    `job_deadline_s` is how long after it was submitted a job is asked after and may still take effect: beyond it, what
    became of the people in it counts as unknown.
    `limits` are what the vendor allows, per destination; the hub waits before a call rather than go beyond them.
    `in_flight_s` is how long an unanswered request may still take effect (law L7).
    `least_audience` is how many people the vendor must find before it uses an audience, `effect_within_s` how long it
    takes at most until a change shows: both for the admin to know.
    """

    key: str = "external_id"
    identifiers: tuple[str, ...] = ()
    spellings: Mapping[str, str] = field(default_factory=dict)
    signals: tuple[str, ...] = ()
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
    least_audience: int = 0
    effect_within_s: float = 0.0

    @property
    def lands_within_s(self) -> float:
        """How long what went unanswered may still take effect: the answer may have named a job."""
        return max(self.in_flight_s, self.job_deadline_s) if self.jobs else self.in_flight_s


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """A dated version of a vendor's API, and the last day on which the vendor answers it, where that is known."""

    name: str
    until: date | None = None

"""What a run did and when, what it asked the vendor, and how fast; and how fresh a sync's audience is."""

from __future__ import annotations

from datetime import datetime

import strawberry

from hub.api.context import Info
from hub.api.types.catalogue import within_int
from hub.api.words import says
from hub.core import history
from hub.services import freshness


@strawberry.type(description="Something that happened to a run.")
class RunMoment:
    kind: history.MomentKind = says("What happened.")
    at: datetime = says("When.")
    people: int | None = says(
        "How many people it concerned: those to be told about (PLANNED), those whom an interrupted process may have "
        "reached (RESUMED), those of the attempt (THROTTLED, BACKED_OFF); else null."
    )
    seconds: float | None = says("How long the vendor asked to wait; null unless THROTTLED.")

    @classmethod
    def of(cls, record: history.Moment) -> RunMoment:
        people = None if record.people is None else within_int(record.people)
        return cls(kind=record.kind, at=record.at, people=people, seconds=record.seconds)


@strawberry.type(
    description="One request that a run made, without anything of a person. A word is shown where the connector's own "
    "code holds it or the sync maps it; everything else is `{…}`."
)
class RunRequest:
    number: int = says("Its number in the run, as they ended, from 1.")
    kept: history.Kept = says("Why it is among those kept.")
    at: datetime = says("When it had ended.")
    method: str = says("The HTTP method.")
    url: str = says("Host and path as a template, such as `api.example.com/lists/{…}/members`.")
    status: int | None = says("The HTTP status; null where no answer came.")
    error: str | None = says(
        "The type of the error that the answer, or its absence, was taken for: `TransientError` is tried again, "
        "`AuthError` pauses the destination, `RefusedError` is for good; null where all was well."
    )
    duration_ms: float = says("From the request to the end of its answer, in milliseconds.")
    attempt: int = says("Which attempt at these people it belonged to, from 1; one that divides a batch counts too.")
    people: int = says("How many people the attempt was about; 0 for a request about nobody in particular.")
    sent: str | None = says(
        "The shape of the body sent: keys, types, and arrays by their length and first element. Null for none, for "
        "what is not JSON, and for one over 16 KiB but for the first five of a run and the first five that failed."
    )
    received: str | None = says("The shape of the answer's body, likewise.")
    sent_bytes: int = says("Bytes of the body sent.")
    received_bytes: int = says("Bytes of the answer's body, unpacked.")

    @classmethod
    def of(cls, record: history.Request) -> RunRequest:
        return cls(**{name: getattr(record, name) for name in history.Request.__slots__})


@strawberry.type(
    description="How fast a run delivered, over all processes that worked on it. Seconds are those spent delivering: "
    "waits for the vendor count, waits for approval, for a worker and between interruptions do not. While a run is "
    "under way it is up to date to about two seconds."
)
class RunThroughput:
    seconds: float = says("Seconds spent delivering.")
    people: int = says("People with a final answer of the vendor; one who is pending has none.")
    people_per_second: float | None = says("`people` by `seconds`; null before any has passed.")
    requests: int = says("Requests made, also those that are not kept for `requests` of the run.")
    requests_per_second: float | None = says("`requests` by `seconds`; null before any has passed.")
    failed_requests: int = says("Requests without an answer, or with one that was taken for an error.")
    retries: int = says("Requests that belonged to a second or later attempt.")
    p50_ms: float | None = says("Half of the requests took at most so many milliseconds, to within 5 %; null for none.")
    p95_ms: float | None = says("95 % of them took at most so many, to within 5 %.")

    @classmethod
    def of(cls, record: history.Traffic) -> RunThroughput:
        return cls(
            seconds=record.seconds,
            people=within_int(record.people),
            people_per_second=record.a_second(record.people),
            requests=within_int(record.requests),
            requests_per_second=record.a_second(record.requests),
            failed_requests=within_int(record.failed),
            retries=within_int(record.retries),
            p50_ms=record.percentile(0.5),
            p95_ms=record.percentile(0.95),
        )


@strawberry.type(
    description="How far the destination is behind the segment, as far as the sync's mode goes (ADD_ONLY keeps who "
    "left) and as far as the destination has acknowledged."
)
class SyncFreshness:
    known: strawberry.Private[freshness.Known]
    equal_at: datetime | None = says(
        "As of when the destination last was known to hold what the segment said: when the newest run over the whole "
        "audience that SUCCEEDED was planned. Null before the first. Runs with `asOf` do not count."
    )
    seconds_since: float | None = says("Seconds since then; it grows though nothing changes until another run looks.")

    @classmethod
    def of(cls, known: freshness.Known) -> SyncFreshness:
        return cls(known=known, equal_at=known.equal_at, seconds_since=known.seconds_since)

    @strawberry.field(
        description="How many people a run would add, send again or remove now, on the segment as last evaluated and "
        "today's consent; worked out when asked for. Whoever rests after a refusal is not among them. Null while the "
        "connector cannot be used."
    )
    async def pending_changes(self, info: Info) -> int | None:
        found = await freshness.pending(info.context.hub, self.known.sync)
        return None if found is None else within_int(found)

    @strawberry.field(
        description="How long the oldest pending change may have waited, at most: 0 while nothing is pending, else "
        "`secondsSince`. Null before the first success, and while the connector cannot be used."
    )
    async def lag_seconds(self, info: Info) -> float | None:
        found = await freshness.pending(info.context.hub, self.known.sync)
        if found is None:
            return None
        return self.seconds_since if found else 0.0

"""How well syncs are, and where the hub tells of it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

import strawberry
from strawberry import ID

from hub.api.context import Info
from hub.api.ids import global_id
from hub.api.types.node import Node, UserError
from hub.api.words import says
from hub.core.alerts import channel, health, wording
from hub.core.alerts.thresholds import Thresholds
from hub.store.health import Watched


@strawberry.type(description="From when on something about a sync is bad. Null means that it is not looked at.")
class SyncAlerts:
    failed_runs: int | None = says("So many runs failed in a row.")
    rejected_share: float | None = says("More than this share of the people was refused in the last run.")
    pending_share: float | None = says("More than this share was left undelivered by the last run.")
    withheld_share: float | None = says("More than this share of the members was withheld.")
    drift_share: float | None = says("More than this share of the audience was found changed by others at an audit.")
    destination_paused: bool = says("Whether it is bad that the hub has paused the destination by itself.")
    approval_minutes: int | None = says("A run has waited so long for approval.")
    overdue_minutes: int | None = says("So long after one was due or began, no run has got to its end.")

    @classmethod
    def of(cls, thresholds: Thresholds) -> SyncAlerts:
        return cls(**asdict(thresholds))


@strawberry.type(description="One thing that is bad about a sync.")
class HealthCause:
    kind: health.CauseKind = says("What it is.")
    since: datetime = says("Since when.")
    message: str = says("The same in words.")
    to_do: str = says("What to do about it.")

    @classmethod
    def of(cls, cause: health.Cause) -> HealthCause:
        said = wording.cause_text(cause)
        return cls(
            kind=cause.kind,
            since=cause.since,
            message=f"{said[0].upper()}{said[1:]}.",
            to_do=wording.TO_DO[cause.kind],
        )


@strawberry.type(description="What the alert channels were told once.")
class AlertNotice:
    id: ID = says("The same in every channel and on every attempt; a webhook has it as its `webhook-id`.")
    kind: wording.NoticeKind = says("What it says.")
    at: datetime = says("When the sync turned.")
    text: str = says("The notice as it is told.")

    @classmethod
    def of(cls, notice: wording.Notice) -> AlertNotice:
        return cls(id=ID(notice.id), kind=notice.kind, at=notice.at, text=wording.text(notice))


@strawberry.type(description="How well a sync is.")
class SyncHealth:
    state: health.HealthState = says("Whether something crosses a threshold.")
    since: datetime = says("When it last turned, or was first looked at.")
    causes: list[HealthCause] = says("Everything that is bad now, also what came after the notice.")
    calm_since: datetime | None = says(
        "Since when nothing is bad any more, of a sync that turned bad so often that it must stay calm for a while "
        "before it counts as well; else null."
    )
    last_notice: AlertNotice | None = says("What was told of it last; null if nothing ever was.")

    @classmethod
    def of(cls, seen: Watched) -> SyncHealth:
        return cls(
            state=seen.health.state,
            since=seen.health.since,
            causes=[HealthCause.of(cause) for cause in seen.health.causes],
            calm_since=seen.health.calm_since,
            last_notice=AlertNotice.of(seen.notice) if seen.notice else None,
        )


@strawberry.type(
    description="A place that is told when a sync turns bad or recovers. A webhook's secret is write-only."
)
class AlertChannel(Node):
    number: strawberry.Private[int]
    key: str = says("The slug; never changes.")
    name: str = says("The name for people.")
    kind: channel.AlertChannelKind = says("How it tells.")
    url: str | None = says("Where a webhook posts; null for e-mail.")
    to: list[str] | None = says("The addresses that e-mail goes to; null for a webhook.")
    version: int = says("Rises with every change.")
    last_told_at: datetime | None = says("When something last arrived; null if nothing ever did.")
    last_failure: UserError | None = says("Why the newest try failed; null when it did not.")

    @classmethod
    def of(cls, record: channel.AlertChannel) -> AlertChannel:
        return cls(
            id=global_id("AlertChannel", record.id),
            number=record.id,
            key=record.key,
            name=record.name,
            kind=record.kind,
            url=record.url or None,
            to=list(record.to) or None,
            version=record.version,
            last_told_at=record.delivered_at,
            last_failure=UserError.of(record.failure) if record.failure else None,
        )

    @strawberry.field(description="How many notices wait to be told there.")
    async def waiting(self, info: Info) -> int:
        return await info.context.loaders.notices_waiting.load(self.number)

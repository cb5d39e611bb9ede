"""What mutations take. In updates an absent field keeps what was there, null clears it back to its default."""

from __future__ import annotations

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from hub.api.words import asks, needs
from hub.core.records import ConsentAction, SyncMode

IF_VERSION = "Refuse with CONFLICT unless this is still the version in force."
FEEDBACK_PURPOSES = (
    "Keys of the purposes that are withdrawn when the vendor tells of an unsubscribe, a bounce or a complaint; those "
    "of the destination's syncs if there are none."
)


@strawberry.input(description="A new purpose.")
class PurposeCreateInput:
    key: str = needs("A slug, unique among purposes; it never changes.")
    name: str = needs("The name for people.")
    description: str | None = asks("What it covers, in words for people.")


@strawberry.input(description="Changes to a purpose; what is absent stays.")
class PurposeUpdateInput:
    name: str | None = asks("The name for people.")
    description: str | None = asks("What it covers; null empties it.")


@strawberry.input(description="A new segment.")
class SegmentCreateInput:
    key: str = needs("A slug, unique among segments; it never changes.")
    name: str = needs("The name for people.")
    rule: str = needs("The rule whose truth makes a member, in the rule language.")
    description: str | None = asks("What it is for, in words for people.")


@strawberry.input(description="Changes to a segment; what is absent stays.")
class SegmentUpdateInput:
    name: str | None = asks("The name for people.")
    rule: str | None = asks("A new rule: the segment is evaluated before the mutation returns.")
    description: str | None = asks("What it is for; null empties it.")
    if_version: int | None = asks(IF_VERSION)


@strawberry.input(description="The person: exactly one of `externalId`, or `identifierKind` with `identifier`.")
class ConsentRecordInput:
    external_id: str | None = asks("The person's external id.")
    identifier_kind: str | None = asks("The kind of identifier, such as email or phone.")
    identifier: str | None = asks("The identifier; the person need not be known yet.")
    purpose: str = needs("The key of the purpose.")
    action: ConsentAction = needs("What was decided.")
    source: str = needs("Where the decision was taken, such as a form or a call.")
    evidence: JSON | None = asks("What proves it: kept with the entry.")
    effective_at: datetime | None = asks("When the person decided, with a zone. A grant needs it; else it is now.")
    expires_at: datetime | None = asks("Until when a grant holds; null means until it is taken back.")
    entry_id: str | None = asks("An id of the caller's: recording it twice changes nothing.")


@strawberry.input(description="A new destination.")
class DestinationCreateInput:
    key: str = needs("A slug, unique among destinations; it never changes.")
    name: str = needs("The name for people.")
    connector: str = needs("The key of an installed connector.")
    config: JSON = needs(
        "The connector's configuration, as its `configSchema` asks; secrets are sealed and never shown."
    )
    feedback_purposes: list[str] | None = asks(FEEDBACK_PURPOSES)


@strawberry.input(description="`config` merges by key; a secret left out stays.")
class DestinationUpdateInput:
    if_version: int | None = asks(IF_VERSION)
    name: str | None = asks("The name for people.")
    config: JSON | None = asks("The keys to change; null under a key clears it.")
    feedback_purposes: list[str] | None = asks(f"{FEEDBACK_PURPOSES} Null is none.")


@strawberry.input(
    description="From when on something about a sync is bad, and the alert channels are told: once when it turns bad, "
    "once when nothing is any more. Null looks away; what is left out keeps what was there, at first the default."
)
class SyncAlertsInput:
    failed_runs: int | None = asks("So many runs failed in a row, up to 20; by default 1. Also for withdrawals' runs.")
    rejected_share: float | None = asks("More than this share of the people was refused in the last run; 0.1.")
    pending_share: float | None = asks("More than this share was left undelivered by the last run; 0.1.")
    withheld_share: float | None = asks("More than this share of the members was withheld; by default not looked at.")
    drift_share: float | None = asks(
        "The last audit found more than this share of the audience changed by others; 0.05."
    )
    destination_paused: bool | None = asks("The hub has paused the destination by itself; by default it is bad.")
    approval_minutes: int | None = asks("A run has waited so long for approval; by default 0, which is at once.")
    overdue_minutes: int | None = asks(
        "So long after the schedule asked for one, or after one began, no run has got to its end; by default 60."
    )


@strawberry.input(
    description="All `purposes` must be granted. `fields` maps the vendor's field to a trait; only what is mapped "
    "leaves the hub."
)
class SyncCreateInput:
    key: str = needs("A slug, unique among syncs; it never changes.")
    segment: str = needs("The key of the segment.")
    destination: str = needs("The key of the destination.")
    audience: str = needs("The audience's name at the vendor; it is made there if it is missing.")
    purposes: list[str] = needs("Keys of the purposes, all of which a person must have granted.")
    mode: SyncMode | None = asks("What the sync does to the audience.", SyncMode.MIRROR)
    schedule: str | None = asks("manual, continuous, or a cron expression in UTC.", "manual")
    audit_schedule: str | None = asks(
        "A cron expression in UTC by which the vendor's list of members is read back; none by itself if left out. "
        "UNSUPPORTED where the vendor tells neither who is there nor how many."
    )
    fields: JSON | None = asks("An object from the vendor's field to a trait; without it only the person's id is sent.")
    max_removal_share: float | None = asks(
        "A run that would remove more than this share waits for approval; 0.3 if left out. With 1 everybody may go, "
        "also while the segment is empty or an import has failed."
    )
    max_growth: float | None = asks(
        "A run that would make an audience of 100 people or more over so many times as large waits for approval; 10 if "
        "left out."
    )
    rollout_share: float | None = asks(
        "A pilot: only this share of the members is sent, over 0 and up to 1; everyone if left out. Who is in it stays "
        "in it when the share grows."
    )
    alerts: SyncAlertsInput | None = asks("Thresholds of its own; the defaults if left out.")
    signals: JSON | None = asks(
        "An object from the vendor's consent signal (see the connector's capabilities) to the purpose that it speaks "
        "of, such as Google's adPersonalization; one that is left out speaks of the sync's own purposes."
    )


@strawberry.input(description="Changes to a sync; what is absent stays.")
class SyncUpdateInput:
    if_version: int | None = asks(IF_VERSION)
    audience: str | None = asks("Another audience: people are removed from the old one and added to this one.")
    purposes: list[str] | None = asks("Keys of the purposes, all of which a person must have granted.")
    mode: SyncMode | None = asks("What the sync does to the audience; null is MIRROR.")
    schedule: str | None = asks("manual, continuous, or a cron expression in UTC; null is manual.")
    audit_schedule: str | None = asks("A cron expression in UTC for audits; null is none by themselves.")
    fields: JSON | None = asks("An object from the vendor's field to a trait; null maps nothing.")
    max_removal_share: float | None = asks("The share that waits for approval; null is 0.3.")
    max_growth: float | None = asks("How many times as large an audience may become at once; null is 10.")
    rollout_share: float | None = asks(
        "The share of the members that is sent, over 0 and up to 1; null is everyone. A smaller one removes people, "
        "which may wait for approval."
    )
    alerts: SyncAlertsInput | None = asks("The thresholds to change; null is the defaults.")
    signals: JSON | None = asks("From the vendor's consent signal to a purpose; null leaves all to the sync's own.")


@strawberry.input(description="Notices posted to an address, signed after Standard Webhooks.")
class AlertWebhookInput:
    url: str | None = asks("https, unless the operator lists host and port. A new channel needs it.")
    secret: str | None = asks("whsec_ and 24 to 64 bytes in base64; never shown again. A new channel needs it.")


@strawberry.input(description="Notices by e-mail, through the operator's mail server.")
class AlertEmailInput:
    to: list[str] | None = asks("The addresses, 1 to 20. A new channel needs them.")


@strawberry.input(description="A new alert channel: exactly one of `webhook` and `email`.")
class AlertChannelCreateInput:
    key: str = needs("A slug, unique among alert channels; it never changes.")
    name: str = needs("The name for people.")
    webhook: AlertWebhookInput | None = asks("For a webhook.")
    email: AlertEmailInput | None = asks("For e-mail.")


@strawberry.input(description="Changes to an alert channel; what is absent stays, a secret too.")
class AlertChannelUpdateInput:
    if_version: int | None = asks(IF_VERSION)
    name: str | None = asks("The name for people.")
    webhook: AlertWebhookInput | None = asks("What to change of a webhook.")
    email: AlertEmailInput | None = asks("What to change of an e-mail channel.")

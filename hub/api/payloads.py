"""What mutations answer: the thing, or null with what is wrong."""

from __future__ import annotations

import strawberry

from hub.api.types.alert import AlertChannel
from hub.api.types.consent import Consent
from hub.api.types.destination import Destination
from hub.api.types.erasure import Erasure
from hub.api.types.node import UserError
from hub.api.types.profile import Profile
from hub.api.types.purpose import Purpose
from hub.api.types.run import Run
from hub.api.types.segment import Segment
from hub.api.types.sync import Sync
from hub.api.types.writekey import WriteKey
from hub.api.words import says

WRONG = "What is wrong; empty when it was carried out."


@strawberry.type(description="Answer of a mutation of a purpose.")
class PurposePayload:
    purpose: Purpose | None = says("The purpose as it stands now; null when nothing was done.", default=None)
    errors: list[UserError] = says(WRONG, default_factory=list)


@strawberry.type(description="Answer of a mutation of a segment.")
class SegmentPayload:
    segment: Segment | None = says(
        "The segment as it stands now, or as it was when deleted; null when nothing was done.", default=None
    )
    errors: list[UserError] = says(WRONG, default_factory=list)


@strawberry.type(description="Answer of `consentRecord`.")
class ConsentPayload:
    consent: Consent | None = says(
        "What the person's decisions about the purpose now add up to; null when nothing was done.", default=None
    )
    errors: list[UserError] = says(WRONG, default_factory=list)


@strawberry.type(description="Answer of a mutation of a destination.")
class DestinationPayload:
    destination: Destination | None = says(
        "The destination as it stands now, or as it was when deleted; null when nothing was done.", default=None
    )
    errors: list[UserError] = says(WRONG, default_factory=list)


@strawberry.type(description="Answer of a mutation of a sync.")
class SyncPayload:
    sync: Sync | None = says(
        "The sync as it stands now, or as it was when deleted; null when nothing was done.", default=None
    )
    errors: list[UserError] = says(WRONG, default_factory=list)


@strawberry.type(description="Answer of a mutation of an alert channel.")
class AlertChannelPayload:
    alert_channel: AlertChannel | None = says(
        "The channel as it stands now, or as it was when deleted; null when nothing was done.", default=None
    )
    errors: list[UserError] = says(WRONG, default_factory=list)


@strawberry.type(description="Answer of `quarantineRelease`.")
class QuarantinePayload:
    sync: Sync | None = says("The sync; null when nothing was done.", default=None)
    released: int | None = says("How many are tried again; null when nothing was done.", default=None)
    errors: list[UserError] = says(WRONG, default_factory=list)


@strawberry.type(description="Answer of a mutation of a run.")
class RunPayload:
    run: Run | None = says("The run as it stands now; null when nothing was done.", default=None)
    errors: list[UserError] = says(WRONG, default_factory=list)


@strawberry.type(description="Answer of `profileErase`.")
class ProfileErasePayload:
    profile: Profile | None = says(
        "The person as they were; null when nothing was done, and where only deliveries were known of them.",
        default=None,
    )
    erasure: Erasure | None = says("How far it has come; null when nothing was done.", default=None)
    runs: list[Run] = says("The runs queued so far; more follow once these have ended.", default_factory=list)
    errors: list[UserError] = says(WRONG, default_factory=list)


@strawberry.type(description="Answer of a mutation of a write key.")
class WriteKeyPayload:
    write_key: WriteKey | None = says("The key without its secret; null when nothing was done.", default=None)
    secret: str | None = says("Shown once.", default=None)
    errors: list[UserError] = says(WRONG, default_factory=list)

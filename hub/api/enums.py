"""The enums of the core on the schema, in words."""

from __future__ import annotations

from hub.api.words import worded
from hub.core import audits, brake, history, planning, records
from hub.core.alerts import channel, health, wording
from hub.core.scopes import Scope
from hub.errors import ErrorCode

worded(
    records.Channel,
    "What a connector's destinations are for.",
    EMAIL="Mailing lists.",
    ADS="Custom audiences of advertising networks.",
    PUSH="Push messages to devices.",
    CMS="Personalised content on a site or in an app.",
    GENERIC="Anything else: webhooks, files, queues.",
)
worded(
    records.ConsentState,
    "What a person's decisions about one purpose add up to. Only GRANTED allows sending.",
    GRANTED="The person agreed, and it has not lapsed.",
    DENIED="The person said no.",
    WITHDRAWN="The person agreed once and took it back.",
    EXPIRED="The person agreed, but only until a time that has passed.",
    UNKNOWN="Nothing is on record, and that means no.",
)
worded(
    records.ConsentAction,
    "A person's decision about one purpose.",
    GRANT="Agrees.",
    DENY="Says no.",
    WITHDRAW="Takes an agreement back.",
)
worded(
    records.SyncMode,
    "What a sync does to its audience.",
    MIRROR="Adds who entered and removes who left: the audience equals the segment.",
    ADD_ONLY="Adds who entered and keeps who left; whoever may no longer be sent is removed all the same.",
    REMOVE_ONLY="Removes who left and adds nobody.",
    REPLACE="Swaps the whole audience at once, where the vendor can.",
)
worded(
    records.RunStatus,
    "Where a run stands.",
    PLANNING="Working out whom to add, update and remove; in an audit, reading back who is there.",
    WAITING_APPROVAL="The brake holds the plan (`approvalReasons`); `runApprove` lets it go on.",
    QUEUED="Waiting for a worker.",
    RUNNING="Sending.",
    SUCCEEDED="Ended, and everyone was delivered or withheld for a reason.",
    PARTIAL="Ended, but somebody was rejected or is still pending.",
    FAILED="Ended early; `failure` says why.",
    CANCELLED="Ended by `runCancel`; what had been sent stays accounted for. Jobs that the vendor has taken in and not "
    "finished are asked after until they end: the counts follow, and the sync's next run waits.",
)
worded(
    Scope,
    "Whom a run is about.",
    called="RunScope",
    ALL="The whole audience.",
    RETRY_REJECTED="The whole audience, and whoever was refused is tried again.",
    FULL="The whole audience, everybody sent again and whoever may be there beyond them removed.",
    WITHDRAWN="Only those who may no longer be sent: they are removed.",
    EMPTY="Nobody: everyone is removed.",
    REPEAT="Only those whose removal must be repeated, since something unanswered may have come after it.",
    ERASE="Those who are being erased: the destination is told to erase them. Of no sync.",
    AUDIT="Nobody is told anything: the vendor's list of members is read back.",
    REPAIR="The same, and the run that puts right what is found is queued after it.",
)
worded(
    audits.DriftKind,
    "How an audit found somebody of ours.",
    MISSING="Acknowledged by the vendor, which does not list them.",
    STRANGER="Listed by the vendor, though nothing says that they were sent.",
    UNWANTED="One of the strangers who should not be there.",
    CONFIRMED="Possibly there, and listed.",
    REFUTED="Possibly there, and not listed.",
)
worded(
    brake.ApprovalReason,
    "Why a plan waits for approval. Whoever may no longer be sent never waits.",
    REMOVAL_SHARE="It would remove more than the sync's `maxRemovalShare` of the audience.",
    EMPTY_SOURCE="The segment has no members at all, and it would remove somebody.",
    FAILED_SOURCE="It would remove somebody, and the newest import of profiles or events failed within 24 hours.",
    SIZE_JUMP="It would make the audience over `maxGrowth` times as large, and it holds 100 people or more.",
)
worded(
    history.MomentKind,
    "What happened to a run.",
    called="RunMomentKind",
    QUEUED="It was asked for.",
    CLAIMED="A worker took it up: at first, or after an approval.",
    TAKEN_OVER="A worker took it up where another had left it, or had died.",
    AUDITED="The vendor's list of members was read and compared; `people` are those about whom it disagrees.",
    PLANNED="It was worked out whom to add, update and remove.",
    WAITING_APPROVAL="The brake held it.",
    APPROVED="Somebody let it go on.",
    DELIVERING="Sending began.",
    RESUMED="Sending went on after an interruption.",
    THROTTLED="The vendor asked to wait; noted once a minute at most, and 50 times in all.",
    BACKED_OFF="An attempt failed for the time being, and was put off; noted likewise.",
    CANCEL_REQUESTED="Somebody asked for its end.",
    DRAINED="Its process stopped; what was in flight was waited for.",
    SETTLED="What it reached was taken into the books.",
    ENDED="It came to its end; the status says how.",
)
worded(
    history.Kept,
    "Why a request is among those kept of a run.",
    called="RequestKept",
    FIRST="It was one of the first.",
    FAILED="It failed, as one of the first to.",
    LAST="It was one of the last.",
)
worded(
    records.RunCause,
    "Why a run was started.",
    MANUAL="Somebody asked for it.",
    SCHEDULE="The sync's cron expression came round.",
    CHANGE="Data or consent changed under a continuous sync.",
    WITHDRAWAL="People who were delivered may no longer be sent.",
    ERASURE="People are being erased.",
)
worded(
    records.WithheldReason,
    "Why a member was not sent.",
    NO_CONSENT="A purpose of the sync is not granted.",
    SUPPRESSED="The vendor or a suppression list refuses the person.",
    NO_IDENTIFIER="The person has no identifier of the kind this vendor needs.",
    HELD_OUT="Kept out on purpose, by a control group or a pilot.",
    BELOW_FLOOR="The audience is too small to be sent.",
    MODE="The sync's mode adds nobody.",
    QUARANTINED="Rejected so often that the same values are not tried again; `quarantineRelease` lets the person out.",
    SHARED_IDENTIFIER="Shares the identifier with somebody who is sent instead, or who may not be sent.",
)
worded(
    records.MemberAction,
    "What a run would do about one member.",
    ADD="Send them: they are not there, as far as the destination has acknowledged.",
    UPDATE="Send them again: they are there with other values.",
    KEEP="Send them again unchanged, since the destination takes whole audiences only.",
    UNCHANGED="Nothing: they are there already, just so.",
    REJECTED="Nothing yet: the vendor refused the same values, and they rest.",
    WITHHELD="Nothing: `withheld` says why.",
)
worded(
    planning.Left,
    "Why somebody would be removed.",
    called="RemovalReason",
    LEAVER="They are in the audience and should not be any more.",
    MOVED="The vendor knows them by an old identifier; they stay under the new one.",
    WITHDRAWN="They, or somebody who shares their identifier, may no longer be sent.",
    SWEPT="Nothing says that they are there, and a full run makes sure of it.",
    EMPTIED="The whole audience is being emptied.",
)
worded(
    records.DeliveryState,
    "What a destination holds of one person, as far as the hub knows.",
    PRESENT="Acknowledged as there.",
    ABSENT="Acknowledged as removed.",
    POSSIBLY_PRESENT="Sent, but the answer never came: treated as there until it is removed.",
    REJECTED="The vendor refused the person.",
)
worded(
    health.HealthState,
    "Whether a sync is as it should be.",
    WELL="Nothing crosses its thresholds.",
    BAD="Something does: `causes` say what.",
)
worded(
    health.CauseKind,
    "What can be bad about a sync.",
    called="HealthCauseKind",
    RUNS_FAILED="Its last runs failed.",
    REMOVALS_FAILED="Its last runs to remove people who withdrew did not get everybody out.",
    REJECTED="The destination refused too many people.",
    PENDING="Too many people were left undelivered.",
    WITHHELD="Too many members were withheld.",
    DRIFTED="The last audit found too much of the audience changed by others, and no run has put it right since.",
    DESTINATION_PAUSED="The hub has paused the destination by itself.",
    WAITING_APPROVAL="A run waits for approval.",
    OVERDUE="No run has got to its end when one was due.",
)
worded(
    wording.NoticeKind,
    "What a notice says.",
    called="AlertNoticeKind",
    TURNED_BAD="A sync turned bad.",
    RECOVERED="A sync that was bad is well again.",
    TEST="Nothing: `alertChannelTest` sent it.",
)
worded(
    channel.AlertChannelKind,
    "How a channel tells.",
    WEBHOOK="By a signed request.",
    EMAIL="By e-mail.",
)
worded(
    ErrorCode,
    "What kind of thing is wrong.",
    INVALID="A value that cannot be used.",
    NOT_FOUND="Nothing has that key or id.",
    CONFLICT="It clashes with something that exists or has changed meanwhile.",
    UNSUPPORTED="The connector or the engine cannot do that.",
    FORBIDDEN="The caller may not do that.",
    RULE_SYNTAX="The rule cannot be read; `line` and `column` say where.",
    RULE_UNKNOWN_TRAIT="The rule names a trait or a property that does not exist.",
    RULE_TYPE="The rule compares things of different types.",
    DESTINATION_AUTH="The vendor refuses the credentials.",
    DESTINATION_UNREACHABLE="The vendor does not answer.",
    EGRESS_DENIED="The address is not one that the hub may call.",
    CONSENT_INVALID="A consent entry that cannot be used.",
    LIMIT="The request is larger than the hub takes at once.",
    POLICY="A rule of the house forbids it.",
)

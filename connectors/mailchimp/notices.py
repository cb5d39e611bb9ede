"""What Mailchimp tells by its webhooks: unsigned forms, each about one contact of one list."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl

from hub.sdk import Feedback, Notice

_NOTICES = {"unsubscribe": Notice.UNSUBSCRIBED, "cleaned": Notice.BOUNCED}
# Who is deleted or archived, by an admin or by our own erasure, has not withdrawn anything.
_NOT_THEIR_WISH = {"delete", "archive"}


def notices(body: bytes, list_id: str) -> Sequence[Feedback]:
    """Nothing of a form that says anything else, such as the empty one by which Mailchimp tries an address."""
    told = dict(parse_qsl(body.decode(errors="replace")))
    kind, address = told.get("type", ""), told.get("data[email]", "")
    complaint = told.get("data[reason]") == "abuse"
    if kind not in _NOTICES or not address or told.get("data[list_id]", list_id) != list_id:
        return []
    if told.get("data[action]") in _NOT_THEIR_WISH and not complaint:
        return []
    # `fired_at` has no zone: read as a wrong one, it could put a no before an older yes. It only tells repeats apart.
    event = f"{kind} {told.get('data[id]', '')} {told.get('fired_at', '')}"
    return [Feedback(Notice.COMPLAINED if complaint else _NOTICES[kind], "email", address, event)]

"""A plan tried on one person: what would be done about them, and why. It writes, so it is for a rehearsal only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hub.core.clock import aware
from hub.core.planning import Left, PlanRequest
from hub.core.records import MemberAction, WithheldReason
from hub.sdk.contract import FieldValue
from hub.warehouse.decision import decision
from hub.warehouse.engine import Transaction
from hub.warehouse.payload import read_people
from hub.warehouse.views import Person, profile_by_external_id


@dataclass(frozen=True, slots=True)
class Trial:
    """`action` is None for somebody who is no member. `removal` says why a key of theirs would be removed, if one would
    be. `rejection` is the vendor's reason, and `retry_at` when the same values are tried again. `fields` are what would
    be sent, None where nobody is."""

    person: Person
    action: MemberAction | None = None
    withheld: WithheldReason | None = None
    removal: Left | None = None
    rejection: str | None = None
    retry_at: datetime | None = None
    fields: Mapping[str, FieldValue] | None = None


def try_on(tx: Transaction, request: PlanRequest, external_id: str) -> Trial | None:
    """What a run of this request would do about this person; None if nobody is known by that id."""
    person = profile_by_external_id(tx, external_id)
    if person is None:
        return None
    rows = _decided(tx, request, person)
    about = next((row for row in rows if row[0] != "remove"), None)
    removal = next((Left(reason) for op, reason, *_ in rows if op == "remove"), None)
    if about is None:
        member = _is_member(tx, request, person)
        return Trial(person, MemberAction.UNCHANGED if member else None, removal=removal)
    action, reason = MemberAction(about[0].upper()), about[1]
    refusal = _refusal(tx, request, about[2]) if action is MemberAction.REJECTED or reason == "QUARANTINED" else {}
    return Trial(
        person,
        action,
        WithheldReason(reason) if reason else None,
        removal,
        fields=_fields(tx, request, person, about) if action in _SENT else None,
        **refusal,
    )


_SENT = {MemberAction.ADD, MemberAction.UPDATE, MemberAction.KEEP}


def _decided(tx: Transaction, request: PlanRequest, person: Person) -> list[tuple[Any, ...]]:
    sql, params = decision(tx, request)
    mine = f"SELECT op, reason, key, shared FROM ({sql}) d WHERE pid = $tried ORDER BY op, key"
    return tx.rows(mine, {**params, "tried": person.pid})


def _is_member(tx: Transaction, request: PlanRequest, person: Person) -> bool:
    asked = {"segment": request.segment, "lens": request.lens.value, "pid": person.pid}
    return bool(tx.rows("SELECT 1 FROM memberships WHERE segment = $segment AND lens = $lens AND pid = $pid", asked))


def _refusal(tx: Transaction, request: PlanRequest, key: str) -> dict[str, Any]:
    held = "FROM delivered WHERE sync = $sync AND audience = $audience AND key = $key"
    asked = {"sync": request.sync, "audience": request.audience, "key": key}
    [(reason, retry_at)] = tx.rows(f"SELECT coalesce(reason, ''), retry_at {held}", asked)
    return {"rejection": reason, "retry_at": aware(retry_at)}


def _fields(tx: Transaction, request: PlanRequest, person: Person, about: tuple[Any, ...]) -> Mapping[str, FieldValue]:
    """Read as a delivery reads them, from a plan of this one person."""
    op, _, key, shared = about
    row = {"run": request.run, "pid": person.pid, "id": person.external_id, "key": key, "op": op, "shared": shared}
    tx.execute("INSERT INTO plan VALUES ($run, $pid, $id, $key, $op, NULL, NULL, $shared, 1, '')", row)
    [planned] = read_people(tx, request, positions=[1]).rows
    return planned.person.fields

"""Alert channels as an admin makes, changes, tries and deletes them. A webhook's secret never comes back out."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

from email_validator import EmailNotValidError, validate_email

from hub.core.alerts.channel import AlertChannel, AlertChannelKind
from hub.core.alerts.wording import Notice, NoticeKind
from hub.core.slug import key_problems, name_problems
from hub.errors import ErrorCode, HubError, Problem, refuse
from hub.sdk.errors import ConnectorError
from hub.sdk.http import Http
from hub.sdk.webhooks import SECRET_FORM, is_signing_secret
from hub.services import telling
from hub.services.hub import Hub
from hub.services.mail import mail_server

MOST_ADDRESSES = 20
WAYS = {"webhook": AlertChannelKind.WEBHOOK, "email": AlertChannelKind.EMAIL}


async def create(
    hub: Hub, key: str, name: str, *, webhook: Mapping[str, Any] | None = None, email: Mapping[str, Any] | None = None
) -> AlertChannel:
    """A new channel: a `webhook` with its `url` and `secret`, or an `email` with the addresses `to`. It hears of every
    sync that turns from now on.

    HubError INVALID for key, name or a field, EGRESS_DENIED for an address that the hub may not reach, UNSUPPORTED for
    e-mail where the operator has set no server, CONFLICT for a taken key.
    """
    if problems := [*key_problems(key), *name_problems(name)]:
        raise HubError(*problems)
    if (webhook is None) == (email is None):
        raise refuse(ErrorCode.INVALID, "Give either `webhook` or `email`.", "input", "webhook")
    way, given = ("webhook", webhook) if email is None else ("email", email)
    given = await _checked(hub, way, given or {}, {"url", "secret"} if way == "webhook" else {"to"})
    if await hub.store.alert_channels.get(key):
        raise refuse(
            ErrorCode.CONFLICT, f"There is an alert channel “{key}” already: choose another key.", "input", "key"
        )
    return await hub.store.alert_channels.create(key=key, name=name.strip(), kind=WAYS[way], **given)


async def update(
    hub: Hub,
    key: str,
    *,
    name: str | None = None,
    webhook: Mapping[str, Any] | None = None,
    email: Mapping[str, Any] | None = None,
    if_version: int | None = None,
) -> AlertChannel:
    """Change what is given; a secret left out stays. HubError NOT_FOUND, CONFLICT when the channel is not at
    `if_version`, UNSUPPORTED for another kind of channel, else as `create`."""
    channel = await hub.store.alert_channels.need(key)
    if name is not None and (problems := name_problems(name)):
        raise HubError(*problems)
    changes: dict[str, Any] = {} if name is None else {"name": name.strip()}
    for way, given in (("webhook", webhook), ("email", email)):
        if given is not None:
            if WAYS[way] is not channel.kind:
                said = f"“{key}” is a channel of another kind: make a new one, and delete this."
                raise refuse(ErrorCode.UNSUPPORTED, said, "input", way)
            changes |= await _checked(hub, way, given)
    return await hub.store.alert_channels.update(channel.id, if_version=if_version, **changes)


async def delete(hub: Hub, key: str) -> AlertChannel:
    """What waits for the channel goes with it. HubError NOT_FOUND."""
    channel = await hub.store.alert_channels.need(key)
    await hub.store.alert_channels.delete(channel.id)
    return channel


async def test(hub: Hub, key: str) -> AlertChannel:
    """Tell the channel something harmless, now and once. HubError with what went wrong."""
    channel = await hub.store.alert_channels.need(key)
    notice = Notice(f"ntc_{secrets.token_hex(16)}", NoticeKind.TEST, hub.clock.now())
    async with Http(hub.egress) as http:
        try:
            await telling.tell(hub, http, channel, notice)
            problem = None
        except (ConnectorError, HubError) as error:
            problem = telling.problem_of(error)
    await hub.store.alert_channels.note(channel.id, hub.clock.now(), problem)
    if problem:
        said = f"“{key}” could not be told: {problem.message}"
        raise refuse(problem.code, said, "key", suggestion=problem.suggestion)
    return await hub.store.alert_channels.need(key)


async def _checked(
    hub: Hub,
    way: str,
    given: Mapping[str, Any],
    needed: Set[str] = frozenset(),
) -> dict[str, Any]:
    """The fields that hold something, once each is known to be good."""
    known = {name: value for name, value in given.items() if value is not None}
    problems = [_problem("must be given", way, name) for name in sorted(needed - known.keys())]
    if "secret" in known and not is_signing_secret(known["secret"]):
        problems.append(_problem(f"must be {SECRET_FORM}", way, "secret"))
    if "to" in known:
        problems += await asyncio.to_thread(lambda: list(_address_problems(known["to"])))
    if problems:
        raise HubError(*problems)
    await _admit(hub, way, known)
    return known


def _address_problems(addresses: Sequence[str]) -> Iterator[Problem]:
    if not 1 <= len(addresses) <= MOST_ADDRESSES:
        yield _problem(f"must name 1 to {MOST_ADDRESSES} addresses", "email", "to")
    for place, address in enumerate(addresses):
        try:
            validate_email(address, check_deliverability=False, allow_smtputf8=False)
        except EmailNotValidError:
            yield _problem("must be an e-mail address", "email", "to", str(place))


async def _admit(hub: Hub, way: str, given: Mapping[str, Any]) -> None:
    """Refuse what leads where the hub may not go, or has no way to go."""
    try:
        if "url" in given:
            await hub.egress.admit(given["url"])
        if way == "email":
            mail_server(hub.settings)
    except HubError as error:
        first = error.problems[0]
        where = ("input", way, "url") if way == "webhook" else ("input", "email")
        raise refuse(first.code, f"{first.message.rstrip('.')}.", *where, suggestion=first.suggestion) from None


def _problem(what: str, *path: str) -> Problem:
    return Problem(ErrorCode.INVALID, f"`{'.'.join(path)}` {what}.", ("input", *path))

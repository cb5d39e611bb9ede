"""Telling a notice: to the log, or through a channel, whichever way that goes out."""

from __future__ import annotations

from email.message import EmailMessage
from email.utils import format_datetime

import orjson
import structlog

from hub.core.alerts import wording
from hub.core.alerts.channel import AlertChannel, AlertChannelKind
from hub.core.alerts.wording import Notice, NoticeKind
from hub.errors import ErrorCode, HubError, Problem
from hub.sdk.errors import AuthError, ConnectorError
from hub.sdk.http import Http
from hub.sdk.webhooks import signed
from hub.services import mail
from hub.services.endings import said_by
from hub.services.hub import Hub

log = structlog.get_logger()

EVENTS = {NoticeKind.TURNED_BAD: "sync turned bad", NoticeKind.RECOVERED: "sync recovered", NoticeKind.TEST: "test"}


def write_down(notice: Notice) -> None:
    """Into the log, as a warning while something is wrong."""
    level = log.warning if notice.kind is NoticeKind.TURNED_BAD else log.info
    causes = " ".join(cause.kind.value for cause in notice.causes)
    level(EVENTS[notice.kind], notice=notice.id, sync=notice.sync, destination=notice.destination, cause=causes)


async def tell(hub: Hub, http: Http, channel: AlertChannel, notice: Notice) -> None:
    """Through the channel, once. Raises ConnectorError for what went wrong there, EgressDenied among them, or HubError
    where the operator must put something right first."""
    if channel.kind is AlertChannelKind.EMAIL:
        server = mail.mail_server(hub.settings)
        await mail.send(hub.egress, server, letter(server.sender, channel, notice))
    else:
        body = orjson.dumps(wording.as_json(notice))
        headers = signed(await hub.store.alert_channels.secret(channel.id), notice.id, body)
        await http.request("POST", channel.url, content=body, headers=headers)


def letter(sender: str, channel: AlertChannel, notice: Notice) -> EmailMessage:
    """The notice as an e-mail; its Message-ID is the same on every attempt."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = ", ".join(channel.to)
    message["Subject"] = wording.title(notice)
    message["Date"] = format_datetime(notice.at)
    message["Message-ID"] = f"<{notice.id}.{channel.key}@{sender.rpartition('@')[2]}>"
    # Nobody's holiday answer is to come back.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(wording.text(notice))
    return message


def problem_of(error: ConnectorError | HubError) -> Problem:
    """What went wrong on the way to a channel, as an admin sees it."""
    said = f"{said_by(error).rstrip('.')}."
    if isinstance(error, HubError):
        return Problem(error.code, said, suggestion=error.problems[0].suggestion)
    code = ErrorCode.DESTINATION_AUTH if isinstance(error, AuthError) else ErrorCode.DESTINATION_UNREACHABLE
    return Problem(code, said)

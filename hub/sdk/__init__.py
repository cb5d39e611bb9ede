"""All that a connector may import: `from hub.sdk import Connector, Capabilities, …`."""

from hub.sdk.answers import Response, by_status
from hub.sdk.calls import note_effect
from hub.sdk.config import ConnectorConfig, Server, Url, WebhookSecret
from hub.sdk.contract import (
    KEYS,
    Account,
    ApiVersion,
    Audience,
    Batch,
    Capabilities,
    Channel,
    Connector,
    FieldValue,
    ListedAs,
    Outcome,
    OutcomeKind,
    Page,
    Person,
    Result,
)
from hub.sdk.dialling import dialled
from hub.sdk.egress import EgressDenied, EgressPolicy
from hub.sdk.errors import AuthError, ConnectorError, RefusedError, TransientError
from hub.sdk.extras import insist_installed
from hub.sdk.feedback import Feedback, Inbound, Notice, Unverified, insist_fresh, insist_secret, same
from hub.sdk.hooks import hookimpl
from hub.sdk.http import Http
from hub.sdk.limits import DailyBudget, Gauge, Limit, PerSecond, Remaining, Window
from hub.sdk.names import plain_word
from hub.sdk.natives import NativeIds
from hub.sdk.oauth import (
    AccessTokens,
    OAuthConfig,
    RefreshedTokens,
    ServiceAccount,
    Token,
    for_service_account,
    granted,
)
from hub.sdk.paging import cursor_in, pages
from hub.sdk.scrub import scrubbed
from hub.sdk.turns import in_turn
from hub.sdk.values import json_fields
from hub.sdk.webhooks import insist_signed
from hub.sdk.workspace import NOWHERE, Workspace

__all__ = [
    "Server",
    "KEYS",
    "NOWHERE",
    "AccessTokens",
    "Account",
    "ApiVersion",
    "Audience",
    "AuthError",
    "Batch",
    "Capabilities",
    "Channel",
    "Connector",
    "ConnectorConfig",
    "ConnectorError",
    "DailyBudget",
    "EgressDenied",
    "EgressPolicy",
    "Feedback",
    "FieldValue",
    "Gauge",
    "Http",
    "Inbound",
    "Limit",
    "ListedAs",
    "NativeIds",
    "Notice",
    "OAuthConfig",
    "Outcome",
    "OutcomeKind",
    "Page",
    "PerSecond",
    "Person",
    "RefreshedTokens",
    "RefusedError",
    "Remaining",
    "Response",
    "Result",
    "ServiceAccount",
    "Token",
    "TransientError",
    "Unverified",
    "Url",
    "WebhookSecret",
    "Window",
    "Workspace",
    "by_status",
    "cursor_in",
    "dialled",
    "for_service_account",
    "granted",
    "hookimpl",
    "in_turn",
    "insist_fresh",
    "insist_installed",
    "insist_secret",
    "insist_signed",
    "json_fields",
    "note_effect",
    "pages",
    "plain_word",
    "same",
    "scrubbed",
]

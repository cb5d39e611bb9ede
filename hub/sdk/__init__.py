"""All that a connector may import: `from hub.sdk import Connector, Capabilities, …`."""

from hub.sdk.answers import Response, by_status
from hub.sdk.config import ConnectorConfig, Url
from hub.sdk.contract import (
    KEYS,
    Account,
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
from hub.sdk.egress import EgressDenied, EgressPolicy
from hub.sdk.errors import AuthError, ConnectorError, RefusedError, TransientError
from hub.sdk.hooks import hookimpl
from hub.sdk.http import Http
from hub.sdk.limits import DailyBudget, Gauge, Limit, PerSecond, Remaining, Window
from hub.sdk.scrub import scrubbed
from hub.sdk.workspace import Workspace

__all__ = [
    "KEYS",
    "Account",
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
    "FieldValue",
    "Gauge",
    "Http",
    "Limit",
    "ListedAs",
    "Outcome",
    "OutcomeKind",
    "Page",
    "PerSecond",
    "Person",
    "RefusedError",
    "Remaining",
    "Response",
    "Result",
    "TransientError",
    "Url",
    "Window",
    "Workspace",
    "by_status",
    "hookimpl",
    "scrubbed",
]

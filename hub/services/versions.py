"""Dated versions of vendors' APIs: which one a destination uses, and when somebody must look after it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from hub.errors import ErrorCode, Problem
from hub.plugins import ConnectorClass
from hub.sdk.contract import ApiVersion

SOON = timedelta(days=60)
FIELD = "api_version"


def version_of(connector: ConnectorClass, config: Mapping[str, Any]) -> ApiVersion | None:
    """The version that a destination with this configuration uses; None where the vendor's are not dated. One that the
    connector was not tested with has a name only."""
    known = connector.Config.model_fields.get(FIELD)
    if not connector.versions or known is None:
        return None
    name = str(config.get(FIELD, known.default))
    return next((version for version in connector.versions if version.name == name), ApiVersion(name))


def warning(version: ApiVersion, today: date) -> Problem | None:
    """What is to be done about it, from 60 days before it lapses."""
    if version.until is None or today + SOON < version.until:
        return None
    lapsed = today > version.until
    when = f"lapsed after {version.until}" if lapsed else f"is answered until {version.until}"
    said = f"The vendor's API version {version.name} {when}: set `{FIELD}` to a newer one, or update the connector."
    return Problem(ErrorCode.UNSUPPORTED if lapsed else ErrorCode.POLICY, said, ("config", FIELD))

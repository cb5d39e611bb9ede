"""How HTTP says no: JSON with the same words as GraphQL, and a status to match."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from hub.errors import ErrorCode, HubError, Problem

STATUS = {
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.CONFLICT: 409,
    ErrorCode.UNSUPPORTED: 415,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.LIMIT: 413,
    ErrorCode.POLICY: 409,
}
# With a 503.
AGAIN = {"Retry-After": "5"}


class Json(Response):
    """JSON by orjson, which writes times and refuses what is no text."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


def refused(error: HubError) -> Json:
    """The answer to what the caller can put right."""
    return problems(STATUS.get(error.code, 400), *error.problems)


def refusal(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Json:
    """The answer to a request that cannot be taken at all."""
    extensions = {"code": code}
    error = {"code": code, "message": message, "path": (), "line": None, "extensions": extensions}
    return Json({"errors": [error]}, status_code=status, headers=headers)


def problems(status: int, *found: Problem) -> Json:
    return Json({"errors": [_shown(problem) for problem in found]}, status_code=status)


def _shown(problem: Problem) -> dict[str, Any]:
    return {
        "code": problem.code,
        "message": problem.message,
        "path": list(problem.path),
        "line": problem.line,
        "column": problem.column,
        "suggestion": problem.suggestion,
    }

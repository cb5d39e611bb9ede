"""`/graphql`: queries and mutations by POST, subscriptions by websocket, GraphiQL for a browser."""

from __future__ import annotations

from typing import Any

import orjson
from graphql import GraphQLError
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.exceptions import ConnectionRejectionError, MissingQueryError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types.graphql import OperationType
from strawberry.types.unset import UNSET

from hub.api.context import Context
from hub.api.schema import schema
from hub.errors import HubError
from hub.services.hub import Hub
from hub.web.access import Gate
from hub.web.answers import AGAIN, Json, refusal, refused
from hub.web.body import whole

BY_POST = {OperationType.QUERY, OperationType.MUTATION}
MOST_AT_ONCE = 20


class Questions:
    """Answers POST /graphql."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def answer(self, request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return refusal(415, "UNSUPPORTED", "Send the query as JSON, with Content-Type: application/json.")
        try:
            asked = orjson.loads(await whole(request))
        except HubError as error:
            return refused(error)
        except orjson.JSONDecodeError:
            return refusal(400, "INVALID", "The body is not JSON in UTF-8.")
        if wrong := _shape_problem(asked):
            return refusal(400, "INVALID", wrong)
        return await self._execute(request, asked)

    async def _execute(self, request: Request, asked: dict[str, Any]) -> Response:
        try:
            result = await schema.execute(
                asked["query"],
                asked.get("variables"),
                context_value=Context(self._hub, request),
                operation_name=asked.get("operationName"),
                allowed_operation_types=BY_POST,
            )
        except InvalidOperationTypeError:
            return refusal(400, "UNSUPPORTED", "A subscription goes over a websocket, by graphql-transport-ws.")
        except (CannotGetOperationTypeError, MissingQueryError):
            return refusal(400, "INVALID", "Name one of the document's operations with `operationName`.")
        away = any((error.extensions or {}).get("code") == "UNAVAILABLE" for error in result.errors or [])
        shown = _shown(result.data, result.errors)
        return Json(shown, status_code=503, headers=AGAIN) if away else Json(shown)


def _shape_problem(asked: Any) -> str | None:
    if isinstance(asked, list):
        return "One request, one query: batches are not taken."
    if not isinstance(asked, dict) or not isinstance(asked.get("query"), str) or not asked["query"].strip():
        return "The body must be a JSON object with the text of a query under `query`."
    if not isinstance(asked.get("variables"), dict | None):
        return "`variables` must be an object."
    if not isinstance(asked.get("operationName"), str | None):
        return "`operationName` must be a text."
    return None


def _shown(data: Any, errors: list[GraphQLError] | None) -> dict[str, Any]:
    return {"data": data, **({"errors": [error.formatted for error in errors]} if errors else {})}


class Watching(GraphQL[Context, None]):
    """Subscriptions over graphql-transport-ws, for whoever shows a token in the handshake or in connection_init."""

    def __init__(self, hub: Hub, gate: Gate) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            allow_queries_via_get=False,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            max_subscriptions_per_connection=MOST_AT_ONCE,
        )
        self._hub, self._gate = hub, gate

    async def get_context(self, request: Request | WebSocket, response: Any) -> Context:  # noqa: ARG002
        return Context(self._hub, request)

    async def on_ws_connect(self, context: Context) -> Any:
        said = {str(name).lower(): value for name, value in (context.connection_params or {}).items()}
        shown = said.get("authorization") or context.request.headers.get("authorization")
        if not isinstance(shown, str) or not await self._gate.admits(shown):
            raise ConnectionRejectionError
        return UNSET

    def decode_json(self, data: str | bytes) -> object:
        """A message; what is JSON and no object is refused like what is no JSON."""
        found = orjson.loads(data)
        if not isinstance(found, dict):
            raise orjson.JSONDecodeError("is no object", "", 0)
        return found

    def encode_json(self, data: object) -> str:
        return orjson.dumps(data).decode()

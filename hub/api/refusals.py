"""How what goes wrong is shown: refusals as `errors` of a payload, everything unexpected masked behind a request id."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import fields, is_dataclass, replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import structlog
from graphql import GraphQLError

from hub.api.types.node import UserError
from hub.api.words import UNSET
from hub.errors import ErrorCode, HubError, Problem, StoreError, refuse
from hub.logs import where

P = ParamSpec("P")
Payload = TypeVar("Payload")
Resolver = Callable[P, Awaitable[Payload]]
log = structlog.get_logger()


def answering(payload: Callable[..., Payload]) -> Callable[[Resolver[P, Payload]], Resolver[P, Payload]]:
    """Turns a HubError of a mutation into the `errors` of its `payload`."""

    def around(resolver: Resolver[P, Payload]) -> Resolver[P, Payload]:
        @wraps(resolver)
        async def answer(*args: P.args, **kwargs: P.kwargs) -> Payload:
            try:
                return await resolver(*args, **kwargs)
            except HubError as error:
                return payload(errors=errors_of(error, kwargs.get("input")))

        return answer

    return around


def errors_of(error: HubError, asked: Any = None) -> list[UserError]:
    return [UserError.of(located(problem, asked)) for problem in error.problems]


def located(problem: Problem, asked: Any = None) -> Problem:
    """The problem with its path as the client wrote it: inside `input`, and in camel case."""
    if not is_dataclass(asked):
        return replace(problem, path=problem.path[1:]) if problem.path[:1] == ("input",) else problem
    names = {field.name for field in fields(asked)}
    inside = problem.path[1:] if problem.path[:1] == ("input",) else problem.path
    if not inside or (inside[0] not in names and snake(inside[0]) not in names):
        return problem
    return replace(problem, path=("input", camel(inside[0]), *inside[1:]))


def told(asked: Any) -> dict[str, Any]:
    """The fields of an input that hold a value, by name."""
    values = {field.name: getattr(asked, field.name) for field in fields(asked)}
    return {name: value for name, value in values.items() if value is not UNSET and value is not None}


def changes(asked: Any, **cleared: Any) -> dict[str, Any]:
    """The fields of an update that were given. Null becomes what `cleared` says; HubError where it says nothing."""
    values = {field.name: getattr(asked, field.name) for field in fields(asked)}
    given = {name: value for name, value in values.items() if value is not UNSET}
    if given.get("if_version", 0) is None:
        del given["if_version"]
    refused = [name for name, value in given.items() if value is None and name not in cleared]
    if refused:
        raise HubError(*(_uncleared(name) for name in refused))
    return {name: cleared[name] if value is None else value for name, value in given.items()}


def _uncleared(name: str) -> Problem:
    return refuse(
        ErrorCode.INVALID, f"`{camel(name)}` cannot be cleared: leave it out to keep it.", "input", camel(name)
    ).problems[0]


def presented(error: GraphQLError) -> GraphQLError:
    """The error as a client may see it. What nobody expected is logged, without its message, and masked."""
    cause = _cause(error)
    if cause is None:
        return _coded(error, {"code": "INVALID", **(error.extensions or {})}, error.message)
    if isinstance(cause, HubError):
        return _coded(error, _as_extensions(cause.problems[0]), str(cause))
    request_id = structlog.contextvars.get_contextvars().get("request_id", "unknown")
    log.error("request failed", error_type=type(cause).__name__, where=where(cause))
    if isinstance(cause, StoreError):
        told = {"code": "UNAVAILABLE", "requestId": request_id}
        return _coded(error, told, f"{cause.advice} Request {request_id}.")
    message = f"Something went wrong inside the hub. Its log has more under request {request_id}."
    return _coded(error, {"code": "INTERNAL", "requestId": request_id}, message)


def _cause(error: GraphQLError) -> BaseException | None:
    cause: BaseException | None = error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause


def _coded(error: GraphQLError, extensions: dict[str, Any], message: str) -> GraphQLError:
    return GraphQLError(message, error.nodes, error.source, error.positions, error.path, extensions=extensions)


def _as_extensions(problem: Problem) -> dict[str, Any]:
    place = {"path": list(problem.path), "line": problem.line, "column": problem.column}
    known = {**place, "suggestion": problem.suggestion}
    return {"code": problem.code.value, **{name: value for name, value in known.items() if value}}


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def snake(name: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name)

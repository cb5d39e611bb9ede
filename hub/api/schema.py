"""The schema, bounded in size and time, with every error made presentable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Any

import strawberry
from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse
from strawberry.extensions import AddValidationRules
from strawberry.types.execution import ExecutionResult, PreExecutionError

import hub.api.enums  # noqa: F401  words the enums of the core before any type names them
from hub.api.limits import SECONDS, WithinLimits, refusal_of_text, too_large
from hub.api.mutations import Mutation
from hub.api.queries import Query
from hub.api.refusals import presented
from hub.api.subscriptions import Subscription
from hub.api.types.profile import Profile
from hub.api.types.purpose import Purpose
from hub.api.types.run import Run
from hub.api.types.segment import Segment
from hub.api.words import DATE_TIME

TOO_LONG = f"It took longer than {SECONDS:g} seconds. Ask for less at once."
STILL_GOING = f"It takes longer than {SECONDS:g} seconds and goes on: look at the result before you repeat it."


class HubSchema(strawberry.Schema):
    """Strawberry's schema with limits before, a deadline around, and `presented` after every execution."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self._going_on: set[asyncio.Task[Any]] = set()

    def process_errors(self, errors: list[GraphQLError], execution_context: Any = None) -> None:
        """Nothing here: `presented` logs what is unexpected, without values."""

    async def execute(
        self, query: str | None, variable_values: dict[str, Any] | None = None, *args: Any, **more: Any
    ) -> Any:
        if refusal := _refusal(query or "", variable_values, more.get("operation_name")):
            return PreExecutionError(data=None, errors=[presented(refusal)])
        result = await self._within_time(query or "", super().execute(query, variable_values, *args, **more))
        return _presented(result)

    async def stream(
        self, query: str | None, variable_values: dict[str, Any] | None = None, *args: Any, **more: Any
    ) -> Any:
        if refusal := _refusal(query or "", variable_values, more.get("operation_name")):
            return _once(PreExecutionError(data=None, errors=[presented(refusal)]))
        if not _holds(query or "", OperationType.SUBSCRIPTION):
            return _once(await self.execute(query, variable_values, *args, **more))
        return _each_presented(await super().stream(query, variable_values, *args, **more))

    async def _within_time(self, query: str, work: Any) -> Any:
        task = asyncio.ensure_future(work)
        # Nobody is left half done: a mutation goes on when the caller has to be answered, or has gone away.
        mutates = _holds(query, OperationType.MUTATION)
        try:
            return await asyncio.wait_for(asyncio.shield(task) if mutates else task, SECONDS)
        except TimeoutError:
            return ExecutionResult(data=None, errors=[too_large(STILL_GOING if mutates else TOO_LONG)])
        finally:
            if not task.done():
                self._going_on.add(task)
                task.add_done_callback(self._going_on.discard)


def _refusal(query: str, variables: dict[str, Any] | None, chosen: str | None) -> GraphQLError | None:
    if refusal := refusal_of_text(query, variables):
        return refusal
    if not query.strip():
        return GraphQLError("There is nothing to ask: write a query, a mutation or a subscription.")
    several = chosen is None and len(_operations(query)) > 1
    return GraphQLError("The document has several operations: name one with `operationName`.") if several else None


def _presented(result: Any) -> Any:
    if result.errors:
        result.errors = [presented(error) for error in result.errors]
    return result


async def _once(result: Any) -> AsyncGenerator[Any, None]:
    yield result


async def _each_presented(results: Any) -> AsyncGenerator[Any, None]:
    async with aclosing(results):
        async for result in results:
            yield _presented(result)


def _holds(query: str, kind: OperationType) -> bool:
    return kind in _operations(query)


def _operations(query: str) -> list[OperationType]:
    """The kinds of a document's operations; none where it cannot be read, which the execution then says."""
    try:
        nodes = parse(query, no_location=True).definitions
    except GraphQLError:
        return []
    return [node.operation for node in nodes if isinstance(node, OperationDefinitionNode)]


def make_schema() -> HubSchema:
    return HubSchema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[Purpose, Profile, Segment, Run],
        scalar_overrides={datetime: DATE_TIME},
        extensions=[lambda: AddValidationRules([WithinLimits])],
    )


schema = make_schema()

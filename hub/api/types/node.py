"""What every stored thing shares, and what a caller can put right."""

from __future__ import annotations

import strawberry
from strawberry import ID

from hub.api.words import says
from hub.errors import ErrorCode, Problem


@strawberry.interface(description="A stored thing, found again by its id with `node`.")
class Node:
    id: ID = says("Opaque and stable; unique across all types.")


@strawberry.type(description="Something the caller can put right. `path` points into the input.")
class UserError:
    code: ErrorCode = says("What kind of thing is wrong.")
    message: str = says("What is wrong and what to do, in words for a person.")
    path: list[str] = says("Where in the arguments, such as input and rule; empty when it is nowhere in particular.")
    line: int | None = says("The line in a text such as a rule, from 1.", default=None)
    column: int | None = says("The column in that line, from 1.", default=None)
    suggestion: str | None = says("What was probably meant, or what to do instead.", default=None)

    @classmethod
    def of(cls, problem: Problem) -> UserError:
        return cls(
            code=problem.code,
            message=problem.message,
            path=list(problem.path),
            line=problem.line,
            column=problem.column,
            suggestion=problem.suggestion,
        )

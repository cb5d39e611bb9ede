"""What a database error becomes on its way out: a refusal that the caller can put right, or a failure without a word of
what was stored. Drivers quote rows in their messages, so none of them is passed on."""

from __future__ import annotations

import errno
import re
import sqlite3
import sys

from tortoise.exceptions import BaseORMException, IntegrityError, ValidationError

from hub.again import BEATEN
from hub.errors import ErrorCode, HubError, StoreError, refuse

# What the triggers of migration 0002 say.
APPEND_ONLY = "the consent ledger is append-only"


def database_errors() -> tuple[type[BaseException], ...]:
    """Everything a driver raises. asyncpg is an extra, looked at only where it is in use."""
    asyncpg = sys.modules.get("asyncpg")
    # The last is what it says of an answer that a broken connection cut short.
    extra = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) if asyncpg else ()
    return (BaseORMException, sqlite3.Error, OSError, *extra)


def translate(error: BaseException) -> HubError | StoreError:
    if APPEND_ONLY in str(error):
        return StoreError("The consent ledger takes new entries only.")
    if isinstance(error, IntegrityError) or getattr(error, "sqlstate", "").startswith("23"):
        return _conflict(_constraint(error))
    if isinstance(error, ValidationError):
        name = _camel(re.match(r"\w*", str(error))[0])  # type: ignore[index]
        return refuse(ErrorCode.INVALID, f"{name or 'A value'} cannot be stored: it is too long.", "input", name)
    cause = _innermost(error)
    state = getattr(cause, "sqlstate", None)
    kind = " ".join(filter(None, (type(cause).__name__, state)))
    beaten = state in BEATEN
    return StoreError(f"The control plane's database failed ({kind}).", full=_is_full(cause), beaten=beaten)


def _is_full(cause: BaseException) -> bool:
    said = (getattr(cause, "sqlstate", None), getattr(cause, "sqlite_errorname", None), getattr(cause, "errno", None))
    return bool({"53100", "SQLITE_FULL", errno.ENOSPC} & set(said))


def _conflict(constraint: str) -> HubError:
    """The refusal for a constraint, named as in `segment.key` (SQLite) or `segment_key_key` (PostgreSQL)."""
    if "audienc" in constraint:
        message = "The destination already has a sync for this audience: change that one, or name another audience."
        return refuse(ErrorCode.CONFLICT, message, "input", "audience")
    if re.search(r"(\.|_)key(_key)?$", constraint):
        noun = re.split(r"[._]", constraint)[0]
        return refuse(ErrorCode.CONFLICT, f"There is a {noun} with this key already: choose another.", "input", "key")
    return refuse(ErrorCode.CONFLICT, "It cannot be changed so: something else in the hub refers to it.", "key")


def _constraint(error: BaseException) -> str:
    cause = _innermost(error)
    named = getattr(cause, "constraint_name", None)
    return str(named or str(cause).rpartition(": ")[2])


def _innermost(error: BaseException) -> BaseException:
    while error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]
    return error


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)

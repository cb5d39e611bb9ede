"""What every noun's repository can do: find, page by key set, count, and change by compare-and-swap."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from tortoise.expressions import F
from tortoise.models import Model

from hub.core.slug import key_problems
from hub.errors import ErrorCode, HubError, nearest, refuse
from hub.store.database import Database, stored

R = TypeVar("R")


class Repository(ABC, Generic[R]):
    """Rows of `model` as records. Lists are in the order of their ids, oldest first."""

    model: ClassVar[type[Model]]
    noun: ClassVar[str]

    def __init__(self, database: Database) -> None:
        self._database = database

    @abstractmethod
    async def _records(self, rows: Sequence[Any]) -> list[R]:
        """The records of some rows, with whatever else they take fetched for all at once."""

    @stored
    async def find(self, id: int) -> R | None:
        """The one with this id, or None."""
        return await self._first(self.model.filter(id=id))

    @stored
    async def by_ids(self, ids: Iterable[int]) -> dict[int, R]:
        """Those that exist, by id."""
        rows = await self.model.filter(id__in=list(ids)).order_by("id")
        return dict(zip((row.pk for row in rows), await self._records(rows), strict=True))

    @stored
    async def page(self, first: int, after_id: int | None = None) -> list[R]:
        """At most `first` after that id."""
        return await self._records(await self.model.filter(id__gt=after_id or 0).order_by("id").limit(first))

    @stored
    async def all(self) -> list[R]:
        """Every one, for nouns of which an admin makes a few."""
        return await self._records(await self.model.all().order_by("id"))

    @stored
    async def count(self) -> int:
        return await self.model.all().count()

    @stored
    async def delete(self, id: int) -> None:
        """HubError CONFLICT while another noun refers to it; deleting what is gone changes nothing."""
        await self.model.filter(id=id).delete()

    async def _first(self, rows: Any) -> R | None:
        found = await self._records(await rows.limit(1))
        return found[0] if found else None

    async def _one(self, id: int) -> R:
        found = await self._first(self.model.filter(id=id))
        if found is None:
            raise self._gone()
        return found

    async def _swap(self, id: int, if_version: int | None, changes: dict[str, Any]) -> bool:
        """Change a versioned row if its version still is `if_version` (None: any), and count the version up; False
        where there was nothing to change."""
        rows = self.model.filter(id=id) if if_version is None else self.model.filter(id=id, version=if_version)
        if not await (rows.update(**changes, version=F("version") + 1) if changes else rows.exists()):
            raise await self._stale(id, if_version)
        return bool(changes)

    async def _stale(self, id: int, if_version: int | None) -> HubError:
        version = await self.model.filter(id=id).values_list("version", flat=True)
        if not version:
            return self._gone()
        message = f"The {self.noun} is at version {version[0]}, not {if_version}: read it again, then decide again."
        return refuse(ErrorCode.CONFLICT, message, "input", "ifVersion")

    def _gone(self) -> HubError:
        return refuse(ErrorCode.NOT_FOUND, f"The {self.noun} no longer exists.", "key")


class KeyedRepository(Repository[R]):
    """Nouns with a key that the admin chose."""

    @stored
    async def get(self, key: str) -> R | None:
        """The one with this key, or None."""
        return await self._keyed(key)

    @stored
    async def need(self, key: str, *path: str) -> R:
        """The one with this key; else HubError NOT_FOUND at `path` (default `key`), with the key that was meant."""
        found = await self._keyed(key)
        if found is None:
            meant = nearest(key, await self._keys())
            raise refuse(
                ErrorCode.NOT_FOUND, f"There is no {self.noun} “{key}”.", *(path or ("key",)), suggestion=meant
            )
        return found

    @stored
    async def by_keys(self, keys: Iterable[str]) -> dict[str, R]:
        """Those that exist, by key."""
        rows: Sequence[Any] = await self.model.filter(key__in=list(keys)).order_by("id")
        return dict(zip((row.key for row in rows), await self._records(rows), strict=True))

    @stored
    async def keys(self) -> list[str]:
        return await self._keys()

    async def _keyed(self, key: str) -> R | None:
        # No column holds, and the ORM refuses to look for, what can be nobody's key.
        return None if key_problems(key) else await self._first(self.model.filter(key=key))

    async def _keys(self) -> list[str]:
        keys: Sequence[Any] = await self.model.all().order_by("key").values_list("key", flat=True)
        return list(keys)


def known(changes: dict[str, Any], *names: str) -> dict[str, Any]:
    """The changes, once it is sure that each is to a column that may change."""
    if strange := set(changes) - set(names):
        raise TypeError(f"cannot change {', '.join(sorted(strange))}")
    return changes

"""Segments: rules with their versions and the newest evaluation under each lens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hub.core.records import Evaluation, Lens, Segment
from hub.store import models
from hub.store.database import stored
from hub.store.repository import KeyedRepository, known


@dataclass(frozen=True, slots=True)
class SegmentVersion:
    """What a segment was at one version."""

    version: int
    name: str
    description: str
    rule: str
    created_at: datetime


class Segments(KeyedRepository[Segment]):
    """A segment's `evaluation` is its live one; before the first it counts nobody, as of the segment's creation."""

    model, noun = models.Segment, "segment"

    async def _records(self, rows: Sequence[models.Segment]) -> list[Segment]:
        evaluations = await self._evaluations([row.id for row in rows], Lens.LIVE)
        return [_segment(row, evaluations.get(row.id)) for row in rows]

    @stored
    async def create(self, *, key: str, name: str, rule: str, description: str = "") -> Segment:
        """HubError CONFLICT when the key is taken. It has no evaluation yet: see `save_evaluation` and `stale`."""
        async with self._database.transaction():
            row = await models.Segment.create(key=key, name=name, rule=rule, description=description)
            await _keep_version(row)
        return _segment(row, None)

    @stored
    async def rules(self) -> dict[str, str]:
        """The text of every segment's rule by its key."""
        return dict(await models.Segment.all().order_by("id").values_list("key", "rule"))

    @stored
    async def update(self, /, id: int, *, if_version: int | None = None, **changes: Any) -> Segment:
        """Changes of `name`, `description` and `rule` as a new version; HubError CONFLICT when it is not at
        `if_version`. An evaluation stays good unless the rule changed."""
        known(changes, "name", "description", "rule")
        async with self._database.transaction():
            before = await models.Segment.filter(id=id).select_for_update().first()
            if before is None:
                raise self._gone()
            if await self._swap(id, if_version, changes):
                row = await models.Segment.get(id=id)
                await _keep_version(row)
                if row.rule == before.rule:
                    good = models.SegmentEvaluation.filter(segment_id=id, version=row.version - 1)
                    await good.update(version=row.version)
        return await self._one(id)

    @stored
    async def versions(self, id: int) -> list[SegmentVersion]:
        """Every version, newest first."""
        rows = await models.SegmentVersion.filter(segment_id=id).order_by("-version")
        return [SegmentVersion(row.version, row.name, row.description, row.rule, row.created_at) for row in rows]

    @stored
    async def save_evaluation(self, id: int, lens: Lens, evaluation: Evaluation, *, version: int) -> None:
        """Keep this as the newest evaluation under the lens; `version` is the segment's that was evaluated."""
        values = {name: getattr(evaluation, name) for name in Evaluation.__slots__}
        row = models.SegmentEvaluation(segment_id=id, lens=lens.value, version=version, **values)
        # In one statement, since a run and an import may evaluate the same segment at the same moment.
        await models.SegmentEvaluation.bulk_create(
            [row], on_conflict=["segment_id", "lens"], update_fields=["version", *values]
        )

    @stored
    async def evaluation(self, id: int, lens: Lens = Lens.LIVE) -> Evaluation | None:
        """The newest evaluation under the lens, if there was one."""
        return (await self._evaluations([id], lens)).get(id)

    @stored
    async def evaluations(self, ids: Iterable[int], lens: Lens) -> dict[int, Evaluation]:
        """The newest evaluation of each segment that has one under the lens."""
        return await self._evaluations(list(ids), lens)

    @stored
    async def stale(self) -> list[Segment]:
        """Segments whose rule in force has not been evaluated live: what a crash may have left undone."""
        live = models.SegmentEvaluation.filter(lens=Lens.LIVE.value)
        evaluated = dict(await live.values_list("segment_id", "version"))
        rows = await models.Segment.all().order_by("id")
        return await self._records([row for row in rows if evaluated.get(row.id) != row.version])

    async def _evaluations(self, ids: list[int], lens: Lens) -> dict[int, Evaluation]:
        rows = await models.SegmentEvaluation.filter(segment_id__in=ids, lens=lens.value)
        return {row.segment_id: _evaluation(row) for row in rows}


async def _keep_version(row: models.Segment) -> None:
    await models.SegmentVersion.create(
        segment_id=row.id, version=row.version, name=row.name, description=row.description, rule=row.rule
    )


def _evaluation(row: models.SegmentEvaluation) -> Evaluation:
    return Evaluation(row.size, row.entered, row.left, row.as_of, row.evaluated_at)


def _segment(row: models.Segment, evaluation: Evaluation | None) -> Segment:
    never = Evaluation(0, 0, 0, row.created_at, row.created_at)
    return Segment(row.id, row.key, row.name, row.description, row.rule, row.version, evaluation or never)

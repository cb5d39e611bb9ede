"""Files come in: profiles and events, whole or not at all, and decisions about consent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hub.core.clock import naive
from hub.core.imports import CONTENT_TYPES, SUFFIXES, FileFormat, ImportKind, ImportReport, Shape
from hub.errors import ErrorCode, HubError, Problem, refuse
from hub.services.consent_import import import_consents
from hub.services.hub import Hub
from hub.warehouse import events, profiles
from hub.warehouse.engine import Transaction
from hub.warehouse.staging import Progress, Staged, read

BROKE_OFF = Problem(ErrorCode.INVALID, "The import broke off inside the hub: see its log.")


async def import_file(
    hub: Hub,
    kind: ImportKind | str,
    path: str | Path,
    *,
    content_type: str | None = None,
    mapping: Mapping[str, str] | None = None,
    snapshot: bool = False,
    approve: bool = False,
    region: str | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Import a file of profiles, events or consents. `mapping` renames columns (column of the file → name in the hub);
    `snapshot` says that a file of profiles is everybody, and `approve` that its removals may pass the brake;
    `region` reads phone numbers without a country code; `progress` is told rows and bytes as they are read, from
    another thread.

    Raises HubError INVALID for a file that cannot be read as a whole, POLICY for a snapshot that drops too many;
    either way nothing has changed.
    """
    what = _kind(kind)
    file = Path(path)
    file_format = format_of(file, content_type)
    if snapshot and what is not ImportKind.PROFILES:
        raise refuse(ErrorCode.INVALID, "Only a file of profiles can be a snapshot.", "snapshot")
    if what is ImportKind.CONSENTS:
        return await import_consents(hub, file, file_format, mapping=mapping, progress=progress)
    incoming = Incoming(file, file_format, mapping, progress)
    if what is ImportKind.PROFILES:
        carry_out = partial(_import_profiles, hub, incoming, region, snapshot=snapshot, approve=approve)
    else:
        carry_out = partial(_import_events, hub, incoming)
    report = await _remembered(hub, what, asyncio.to_thread(carry_out))
    if report.accepted or report.removed:
        hub.signals.imported.set()
    return report


async def _remembered(hub: Hub, kind: ImportKind, importing: Awaitable[ImportReport]) -> ImportReport:
    """Keep whether the import went in: while the newest did not, nobody is removed without approval."""
    try:
        report = await importing
    except HubError as error:
        await hub.store.imports.note(kind, hub.clock.now(), error.problems[0])
        raise
    except Exception:  # whatever it was, the import did not go in
        await hub.store.imports.note(kind, hub.clock.now(), BROKE_OFF)
        raise
    await hub.store.imports.note(kind, hub.clock.now(), None)
    return report


@dataclass(frozen=True, slots=True)
class Incoming:
    """A file, and how it is to be read."""

    file: Path
    format: FileFormat
    mapping: Mapping[str, str] | None
    progress: Progress | None

    def staged(self, tx: Transaction, shape: Shape) -> Staged:
        return read(tx, self.file, self.format, shape, mapping=self.mapping, progress=self.progress)


def _import_profiles(
    hub: Hub, incoming: Incoming, region: str | None, *, snapshot: bool, approve: bool
) -> ImportReport:
    now = naive(hub.clock.now())
    with hub.engine.write() as tx:
        staged = incoming.staged(tx, profiles.shape(tx, region))
        return profiles.import_profiles(tx, staged, now, hub.pepper, snapshot=snapshot, approve=approve)


def _import_events(hub: Hub, incoming: Incoming) -> ImportReport:
    now = naive(hub.clock.now())
    with hub.engine.write() as tx:
        return events.import_events(tx, incoming.staged(tx, events.shape(tx)), now, hub.pepper, incoming.mapping)


def _kind(name: str) -> ImportKind:
    try:
        return ImportKind(name)
    except ValueError:
        raise refuse(ErrorCode.INVALID, "An import is of profiles, events or consents.", "kind") from None


def format_of(path: Path, content_type: str | None = None) -> FileFormat:
    """How the file is written, by its content type or else its name; raises HubError UNSUPPORTED."""
    if content_type:
        found = CONTENT_TYPES.get(content_type.split(";")[0].strip().lower())
    else:
        found = SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise refuse(
            ErrorCode.UNSUPPORTED,
            "A file to import is CSV (text/csv), NDJSON (application/x-ndjson) or Parquet "
            "(application/vnd.apache.parquet), told by its content type or its name.",
            "contentType",
        )
    return found

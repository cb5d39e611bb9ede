"""A column of instants as people write them: plain spellings at once in Arrow, others one distinct text at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from hub.core.consent_form import Unread, read_instant

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

# Years that both readers know, and a zone; Arrow reads these as Python does, only faster.
PLAIN_INSTANT = r"^[12]\d{3}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)$"


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 of an aware datetime."""
    return (moment - EPOCH) // MICROSECOND


@dataclass(frozen=True, slots=True)
class Instants:
    """A column of instants: `us` microseconds since 1970, null where there is none; `zoneless` and `malformed` say why
    (neither: the cell was empty)."""

    us: pa.Array
    zoneless: pa.Array
    malformed: pa.Array

    @classmethod
    def of(cls, texts: pa.Array) -> Instants:
        filled = pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
        plain = pc.match_substring_regex(filled, PLAIN_INSTANT)
        if pc.all(plain, min_count=0).as_py():
            try:
                us = filled.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
                no = pa.repeat(False, len(us))
                return cls(us, no, no)
            except pa.ArrowInvalid:
                # A date that no calendar has spoils the whole cast: read the batch one spelling at a time.
                pass
        return cls._one_by_one(filled)

    @classmethod
    def _one_by_one(cls, texts: pa.Array) -> Instants:
        coded = texts.dictionary_encode()
        read = [read_instant(text) for text in coded.dictionary.to_pylist()]
        us = pa.array([microseconds(one) if isinstance(one, datetime) else None for one in read], pa.int64())
        why = pa.array([None if isinstance(one, datetime) else one.value for one in read], pa.string())
        reason = why.take(coded.indices)
        is_reason = (pc.fill_null(pc.equal(reason, w.value), False) for w in (Unread.ZONELESS, Unread.MALFORMED))
        return cls(us.take(coded.indices), *is_reason)

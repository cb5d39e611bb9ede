"""People as Meta takes them: a schema, and a row for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from hub.sdk import FieldValue, Person, RefusedError

SIGNAL = "data_processing"
OPTIONS = "DATA_PROCESSING_OPTIONS"
IDENTIFIERS = {"email": "EMAIL", "phone": "PHONE", "ad_id": "MADID"}
FIELDS = {
    "FN": "meta.first_name",
    "LN": "meta.last_name",
    "FI": "meta.first_initial",
    "CT": "meta.city",
    "ST": "meta.state",
    "ZIP": "meta.zip",
    "COUNTRY": "meta.country",
    "GEN": "meta.gender",
    "DOBY": "meta.birth_year",
    "DOBM": "meta.birth_month",
    "DOBD": "meta.birth_day",
    "EXTERN_ID": "meta.external_id",
}
SPELLINGS = {**{kind: f"meta.{kind}" for kind in IDENTIFIERS}, **FIELDS}


def payload(people: Sequence[Person]) -> dict[str, Any]:
    """Only the columns that somebody needs; who has nothing for a column has an empty text there."""
    kinds = {person.kind for person in people}
    named = _known({name for person in people for name in person.fields})
    identifiers = [kind for kind in IDENTIFIERS if kind in kinds]
    limited = any(SIGNAL in person.signals for person in people)
    schema = [*(IDENTIFIERS[kind] for kind in identifiers), *named, *([OPTIONS] if limited else [])]
    data = [
        [
            *(person.value if person.kind == kind else "" for kind in identifiers),
            *(_cell(person.fields.get(name)) for name in named),
            *([_options(person)] if limited else []),
        ]
        for person in people
    ]
    return {"schema": schema, "data": data}


def session(run: str, people: Sequence[Person]) -> dict[str, Any]:
    """An upload of one batch. The same batch of a run has the same number, another run has another: a session that
    was closed takes nothing more."""
    number = uuid5(NAMESPACE_OID, "\n".join([run, *(person.key for person in people)])).int >> 65
    return {"session_id": number, "batch_seq": 1, "last_batch_flag": True, "estimated_num_total": len(people)}


def _known(names: set[str]) -> list[str]:
    if unknown := names - FIELDS.keys():
        raise RefusedError(f"Meta has no columns {', '.join(sorted(unknown))}: it has {', '.join(FIELDS)}")
    return [name for name in FIELDS if name in names]


def _cell(value: FieldValue) -> str:
    """Everything is text once it is spelled; Meta takes no lists."""
    return str(value) if isinstance(value, str | int | float) else ""


def _options(person: Person) -> list[str]:
    """Limited Data Use for everybody whose agreement to more is not known."""
    return [] if person.signals.get(SIGNAL, False) else ["LDU"]

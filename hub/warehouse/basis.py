"""What the rows of a plan rest on. While it stands still, nobody's payload, nor the leave to send it, is another than
the plan says; so whoever is sent is read from the plan, and asked after again only where it has moved."""

from __future__ import annotations

from typing import NamedTuple

from hub.warehouse.engine import Reader, Transaction


class Basis(NamedTuple):
    """How far consent has come, how often identifiers were linked or people erased, and how often traits changed."""

    watermark: int
    generation: int
    people: int | None


def basis(reader: Reader) -> Basis:
    [found] = reader.rows(
        "SELECT c.watermark, c.generation, t.generation FROM projection c JOIN projection t "
        "ON c.name = 'consent' AND t.name = 'people'"
    )
    return Basis(*found)


def note_changed_people(tx: Transaction) -> None:
    """Say that traits of somebody have changed."""
    tx.execute("UPDATE projection SET generation = generation + 1 WHERE name = 'people'")

"""Purposes: what consent is given for."""

from __future__ import annotations

import strawberry

from hub.api.ids import global_id
from hub.api.types.node import Node
from hub.api.words import says
from hub.core import records


@strawberry.type(description="What consent is given for, such as a newsletter.")
class Purpose(Node):
    key: str = says("The slug that syncs and consents name; never changes.")
    name: str = says("The name for people.")
    description: str = says("What it covers, in words for people; empty if nobody wrote any.")

    @classmethod
    def of(cls, record: records.Purpose) -> Purpose:
        identity = global_id("Purpose", record.id)
        return cls(id=identity, key=record.key, name=record.name, description=record.description)

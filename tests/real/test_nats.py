"""NATS, the connector, against the server that the system's packages have."""

from __future__ import annotations

import pytest

from connectors.nats import Nats, NatsConfig
from hub.sdk import Audience, Batch, EgressPolicy, Http, OutcomeKind, Person
from hub.sdk.testing import ConnectorContract
from tests.connectors.nats_server import Entries, RealNats

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="function")]

VIP = Audience("vip", "vip")


@pytest.fixture
def entries(installed_nats: RealNats) -> Entries:
    return Entries(installed_nats, max_value_size=5000)


class TestInstalledNats(ConnectorContract):
    connector = Nats
    fields = {"first_name": "Annabella-Private"}  # noqa: RUF012
    refuses_people = False

    @pytest.fixture(autouse=True)
    def _served(self, entries: Entries) -> None:
        self.entries, self.config = entries, entries.config()  # type: ignore[misc]

    def make_vendor(self) -> Entries:
        return self.entries


async def test_what_it_refuses_is_told_by_the_same_numbers_as_by_a_newer_one(entries: Entries) -> None:
    connector = Nats(NatsConfig(**entries.config()), Http(EgressPolicy(entries.listens)))
    ann, large = Person("ann", "ann"), Person("cem", "cem", {"story": "x" * 6000})
    told = (await connector.apply(VIP, Batch([ann, large], run="1"))).outcomes
    assert {key: one.kind for key, one in told.items()} == {"cem": OutcomeKind.REJECTED}
    assert entries.members(VIP) == {"ann"}

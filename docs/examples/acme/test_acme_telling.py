"""Acme's webhooks, as Acme would sign them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import ClassVar

from acme_telling import AcmeTelling
from test_acme_audiences import FakeAcme

from hub.sdk import Inbound, Notice
from hub.sdk.testing import HttpConnectorContract
from hub.sdk.webhooks import signed

SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"
TYPES = {Notice.UNSUBSCRIBED: "unsubscribed", Notice.BOUNCED: "bounced", Notice.COMPLAINED: "spam"}


# [telling]
class TellingAcme(FakeAcme):
    def tells(self, notice: Notice, key: str) -> Inbound:
        at = datetime.now(UTC).timestamp()
        told = {"id": f"evt-{notice}", "type": TYPES[notice], "email": key, "at": at}
        return self.telling(json.dumps(told).encode())

    def telling(self, body: bytes) -> Inbound:
        return Inbound("POST", headers=signed(SECRET, "msg-1", body), body=body)


# [/telling]


class TestAcmeTelling(HttpConnectorContract):
    connector = AcmeTelling
    config: ClassVar = {"token": "acme-token-1234", "webhook_secret": SECRET}
    fields: ClassVar = {"first_name": "Annabella"}

    def make_vendor(self) -> TellingAcme:
        return TellingAcme()

"""Acme Mail, which calls us when somebody unsubscribes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from acme_audiences import Acme, AcmeConfig
from pydantic import BaseModel, Field, SecretStr, ValidationError

from hub.sdk import Feedback, Inbound, Notice, insist_signed


# [feedback]
class Told(BaseModel):
    id: str
    type: str
    email: str
    at: float


NOTICES = {"unsubscribed": Notice.UNSUBSCRIBED, "bounced": Notice.BOUNCED, "spam": Notice.COMPLAINED}


class AcmeTellingConfig(AcmeConfig):
    webhook_secret: SecretStr = Field(description="What Acme signs its webhooks with, from its settings: whsec_….")


class AcmeTelling(Acme):
    key = "acme_telling"
    title = "Acme Mail, with feedback"
    capabilities = replace(Acme.capabilities, feedback=True)
    Config = AcmeTellingConfig

    def feedback(self, request: Inbound) -> Sequence[Feedback]:
        insist_signed(self.config.webhook_secret.get_secret_value(), request)
        try:
            told = Told.model_validate_json(request.body)
        except ValidationError:
            return []
        at = datetime.fromtimestamp(told.at, UTC)
        return [Feedback(NOTICES[told.type], "email", told.email, told.id, at)] if told.type in NOTICES else []


# [/feedback]

"""One connector for each promise about feedback: the telling Acme of the documentation, wrong in that one thing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from acme_telling import NOTICES, AcmeTelling, Told  # type: ignore[import-not-found]
from pydantic import ValidationError

from hub.sdk import Connector, Feedback, Inbound, Notice, Unverified

Broken = type[Connector[Any]]


class HearsOnlyUnsubscribes(AcmeTelling):
    def feedback(self, request: Inbound) -> Sequence[Feedback]:
        return [told for told in super().feedback(request) if told.notice is Notice.UNSUBSCRIBED]


class NumbersPeople(AcmeTelling):
    """An Acme that tells numbers instead of addresses."""

    def feedback(self, request: Inbound) -> Sequence[Feedback]:
        return [replace(told, kind="native", value=told.value[::-1]) for told in super().feedback(request)]


class RecognisesNumbers(NumbersPeople):
    async def recognised(self, heard: Sequence[Feedback]) -> Sequence[Feedback]:
        return [replace(told, kind="email", value=told.value[::-1]) for told in heard]


class CountsEventsItself(AcmeTelling):
    count = itertools.count()

    def feedback(self, request: Inbound) -> Sequence[Feedback]:
        return [replace(told, event=str(next(self.count))) for told in super().feedback(request)]


class BelievesEverybody(AcmeTelling):
    def feedback(self, request: Inbound) -> Sequence[Feedback]:
        try:
            told = Told.model_validate_json(request.body.strip())
        except ValidationError:
            return []
        return [Feedback(NOTICES[told.type], "email", told.email, told.id)]


class TrimsTheBody(AcmeTelling):
    def feedback(self, request: Inbound) -> Sequence[Feedback]:
        return super().feedback(replace(request, body=request.body.strip()))


class HasNoClock(AcmeTelling):
    def feedback(self, request: Inbound) -> Sequence[Feedback]:
        return super().feedback(replace(request, received_at=Inbound("POST").received_at))


class FallsOverNonsense(AcmeTelling):
    def feedback(self, request: Inbound) -> Sequence[Feedback]:
        heard = super().feedback(request)
        return heard or [Feedback(Notice.UNSUBSCRIBED, "email", Told.model_validate_json(request.body).email)]


class RepeatsWhatItRefuses(AcmeTelling):
    def feedback(self, request: Inbound) -> Sequence[Feedback]:
        try:
            return super().feedback(request)
        except Unverified as error:
            raise Unverified(f"{error.reason}: {request.body.decode()}") from None


BROKEN_FEEDBACK: dict[str, Broken] = {
    "test_what_the_vendor_tells_is_heard": HearsOnlyUnsubscribes,
    "test_the_same_event_told_twice_is_known_as_one": CountsEventsItself,
    "test_a_stranger_is_not_believed": BelievesEverybody,
    "test_a_changed_body_is_not_believed": TrimsTheBody,
    "test_an_old_request_is_not_believed": HasNoClock,
    "test_nonsense_takes_nobodys_permission_away_and_breaks_nothing": FallsOverNonsense,
    "test_a_refusal_to_believe_shows_no_person_and_no_secret": RepeatsWhatItRefuses,
}

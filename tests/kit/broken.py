"""One connector for each promise of the kit, made from the Acme of the documentation and wrong in that one thing."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from acme_audiences import Acme, AcmeConfig  # type: ignore[import-not-found]
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from hub.sdk import (
    Account,
    Audience,
    AuthError,
    Batch,
    Capabilities,
    Connector,
    ConnectorConfig,
    ConnectorError,
    Outcome,
    OutcomeKind,
    Page,
    Person,
    RefusedError,
    Response,
    Result,
    TransientError,
    Url,
    by_status,
)
from tests.kit.imports_httpx import BringsItsOwnClient

Broken = type[Connector[Any]]
BROKEN: dict[str, Broken] = {"test_only_the_sdk_is_imported_from_the_hub": BringsItsOwnClient}


def breaks(promise: str) -> Callable[[Broken], Broken]:
    def note(connector: Broken) -> Broken:
        BROKEN[promise] = connector
        return connector

    return note


@breaks("test_adding_puts_people_into_the_audience")
class ForgetsTheLast(Acme):
    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await super().add(audience, people[:-1])


@breaks("test_removing_takes_them_out_and_nobody_else")
class NeverRemoves(Acme):
    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        return Result()


@breaks("test_adding_twice_is_adding_once")
class Toggles(Acme):
    turns = itertools.count()

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await (super().remove if next(self.turns) % 2 else super().add)(audience, people)


@breaks("test_removing_twice_is_removing_once")
class RejectsWhoIsNotThere(Acme):
    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        await super().remove(audience, people)
        return Result({person.key: Outcome(OutcomeKind.REJECTED, "not there") for person in people[1:]})


@breaks("test_adds_and_removes_of_one_batch_are_both_carried_out")
class AddsOrRemoves(Acme):
    async def apply(self, audience: Audience, batch: Batch) -> Result:
        return await super().apply(audience, replace(batch, remove=()) if batch.add else batch)


@breaks("test_a_full_batch_is_taken_whole")
class PromisesMoreThanItSends(Acme):
    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await super().add(audience, people[:100])


@breaks("test_ensuring_an_audience_twice_yields_the_same_one")
class MakesAnotherEachTime(Acme):
    numbers = itertools.count()

    async def ensure_audience(self, name: str) -> Audience:
        made = await super().ensure_audience(f"{name} {next(self.numbers)}")
        return Audience(name, made.ref)


@breaks("test_two_names_are_two_audiences")
class MixesNamesUp(Acme):
    async def ensure_audience(self, name: str) -> Audience:
        return Audience(name, (await super().ensure_audience(name.lower())).ref)


@breaks("test_checking_changes_nothing")
class LeavesATestListBehind(Acme):
    async def check(self) -> Account:
        await super().ensure_audience("connection test")
        return await super().check()


@breaks("test_a_refused_person_is_reported_and_the_others_go_in")
class OverlooksRefusals(Acme):
    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        await super().add(audience, people)
        return Result()


@breaks("test_a_reason_names_no_person")
class PassesTheReasonOn(Acme):
    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        result = await super().add(audience, people)
        return Result({key: Outcome(outcome.kind, f"{key} is bad") for key, outcome in result.outcomes.items()})


@breaks("test_outcomes_name_only_people_of_the_batch")
class NamesStrangers(Acme):
    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        result = await super().add(audience, people)
        return Result({**result.outcomes, "stranger@kit.example": Outcome(OutcomeKind.NOOP)})


@breaks("test_the_batch_is_left_as_it_was")
class WritesIntoItsInput(Acme):
    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        for person in people:
            person.fields["source"] = "hub"  # type: ignore[index]
        return await super().add(audience, people)


@breaks("test_an_empty_batch_is_no_fault")
class NeedsSomebody(Acme):
    async def apply(self, audience: Audience, batch: Batch) -> Result:
        _ = [*batch.add, *batch.remove][0]
        return await super().apply(audience, batch)


@breaks("test_what_is_declared_is_written")
class DeclaresWhatItCannot(Acme):
    capabilities = replace(Acme.capabilities, erase=True)


@breaks("test_limits_make_sense")
class KnowsPeopleByTheirShoes(Acme):
    capabilities = Capabilities(key="shoe_size", batch=0)


class Listed(BaseModel):
    members: list[str]
    count: int


class ReadsBack(Acme):
    """As it should be done; what breaks a promise of reading back differs in one thing."""

    capabilities = replace(Acme.capabilities, batch=5000, read_back=True)

    async def members_page(self, audience: Audience, cursor: str | None = None) -> Page:
        start = int(cursor or 0)
        found = await self._page(audience, start)
        end = start + len(found.members)
        return Page(found.members, str(end) if end < found.count else None, found.count)

    async def _page(self, audience: Audience, start: int) -> Listed:
        return (await self._call("GET", f"/lists/{audience.ref}?from={start}")).parse(Listed)


@breaks("test_members_can_be_read_back")
class ReadsNobodyBack(Acme):
    capabilities = replace(Acme.capabilities, read_back=True)

    async def members(self, audience: Audience) -> AsyncIterator[str]:
        for key in ():
            yield key


@breaks("test_whoever_has_unsubscribed_is_read_back_like_anybody_else")
class ReadsSubscribersBack(ReadsBack):
    async def _page(self, audience: Audience, start: int) -> Listed:
        return (await self._call("GET", f"/lists/{audience.ref}?from={start}&status=subscribed")).parse(Listed)


@breaks("test_everybody_is_read_back_however_many_pages_they_fill")
class ReadsThreeHalves(ReadsBack):
    async def members_page(self, audience: Audience, cursor: str | None = None) -> Page:
        page = await super().members_page(audience, cursor)
        return replace(page, next=None) if cursor else page


@breaks("test_a_page_of_members_may_be_asked_for_again")
class RemembersWhereItStopped(ReadsBack):
    turns = itertools.count()

    async def members_page(self, audience: Audience, cursor: str | None = None) -> Page:
        return await super().members_page(audience, cursor and str(1000 * (1 + next(self.turns) % 2)))


@breaks("test_reading_back_changes_nothing")
class TidiesUp(ReadsBack):
    async def _page(self, audience: Audience, start: int) -> Listed:
        return (await self._call("GET", f"/lists/{audience.ref}?from={start}&tidy=1")).parse(Listed)


@breaks("test_members_can_be_counted")
class CountsOnePage(ReadsBack):
    capabilities = replace(Acme.capabilities, counts=True)

    async def count(self, audience: Audience) -> int:
        return len((await self._page(audience, 1)).members)


@breaks("test_erasing_leaves_nothing_and_may_be_repeated")
class PretendsToErase(Acme):
    capabilities = replace(Acme.capabilities, erase=True)

    async def erase(self, people: Sequence[Person]) -> Result:
        return Result()


class Undescribed(AcmeConfig):
    folder: str = ""


@breaks("test_every_field_of_the_configuration_is_described")
class DescribesNothing(Acme):
    Config = Undescribed


class OpenToken(ConnectorConfig):
    token: str = Field(description="An API token.")
    url: Url = Field("https://api.acme.example", description="Acme's API.")


@breaks("test_secrets_are_typed_as_secrets")
class KeepsItsTokenOpen(Acme):
    Config = OpenToken


class PlainUrl(ConnectorConfig):
    token: SecretStr = Field(description="An API token.")
    url: str = Field("https://api.acme.example", description="Acme's API.")


@breaks("test_addresses_are_typed_as_urls")
class HidesItsAddress(Acme):
    Config = PlainUrl


@breaks("test_secrets_do_not_show_when_printed")
class PrintsItsToken(Acme):
    def __repr__(self) -> str:
        return f"Acme({self.config.token.get_secret_value()})"


class Careless(AcmeConfig):
    model_config = ConfigDict(extra="ignore")


@breaks("test_a_misspelt_field_is_refused")
class TakesAnyField(Acme):
    Config = Careless


class Telling(AcmeConfig):
    model_config = ConfigDict(hide_input_in_errors=False)

    @field_validator("token")
    @classmethod
    def must_begin_well(cls, token: SecretStr) -> SecretStr:
        if not token.get_secret_value().startswith("acme-"):
            raise ValueError("must begin with acme-")
        return token


@breaks("test_a_wrong_secret_is_not_repeated_in_the_refusal")
class RepeatsAWrongSecret(Acme):
    Config = Telling


@breaks("test_the_same_batch_makes_the_same_requests")
class CountsItsRequests(Acme):
    numbers = itertools.count()

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        numbered = [person._replace(fields={"attempt": next(self.numbers)}) for person in people]
        return await super().add(audience, numbered)


@breaks("test_no_request_could_change_a_subscription")
class Subscribes(Acme):
    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await super().add(audience, [person._replace(fields={"status": "subscribed"}) for person in people])


@breaks("test_everyones_subscription_at_the_vendor_stays_as_it_was")
class WakesPeople(Acme):
    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await super().add(audience, [person._replace(fields={"wake": True}) for person in people])


@breaks("test_a_secret_never_travels_in_an_address")
class PutsItsTokenIntoTheAddress(Acme):
    async def _call(self, method: str, path: str, json: object = None) -> Response:
        return await super()._call(method, f"{path}?token={self.config.token.get_secret_value()}", json)


class ReadsStatuses(Acme):
    """Reads answers by its own lights."""

    def meaning(self, response: Response) -> ConnectorError | None:
        return by_status(response)

    async def _call(self, method: str, path: str, json: object = None) -> Response:
        return await self.http.request(method, f"{self.config.url}{path}", json=json, classify=self.meaning)


@breaks("test_a_throttle_is_transient_and_says_how_long")
class NeverWaits(ReadsStatuses):
    def meaning(self, response: Response) -> ConnectorError | None:
        return TransientError("slow down") if response.status == 429 else by_status(response)


@breaks("test_a_refused_account_is_an_auth_error")
class TriesAWrongPasswordForEver(ReadsStatuses):
    def meaning(self, response: Response) -> ConnectorError | None:
        return TransientError("no") if response.status == 401 else by_status(response)


@breaks("test_a_fault_of_the_vendor_is_transient")
class GivesUpAtOnce(ReadsStatuses):
    def meaning(self, response: Response) -> ConnectorError | None:
        return RefusedError("no") if response.status >= 500 else by_status(response)


@breaks("test_a_refused_request_is_not_tried_for_ever")
class NeverGivesUp(ReadsStatuses):
    def meaning(self, response: Response) -> ConnectorError | None:
        return TransientError("no") if response.status == 422 else by_status(response)


@breaks("test_a_redirect_is_an_error")
class TakesARedirectForSuccess(ReadsStatuses):
    def meaning(self, response: Response) -> ConnectorError | None:
        return None if response.status < 400 else by_status(response)

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        await self._call("POST", f"/lists/{audience.ref}/add", {"people": []})
        return Result()


@breaks("test_an_unreachable_vendor_was_not_sent_to_and_a_silent_one_perhaps")
class CannotTellWhetherItSent(Acme):
    async def _call(self, method: str, path: str, json: object = None) -> Response:
        try:
            return await super()._call(method, path, json)
        except TransientError as error:
            raise TransientError(error.reason, error.retry_after, sent=False) from None


@breaks("test_garbage_is_never_success")
class BelievesTheStatus(Acme):
    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        await self._call("POST", f"/lists/{audience.ref}/remove", {"emails": [person.key for person in people]})
        return Result()


class LooksBeforeItBelieves(Acme):
    """Reads who is there, and not whether they were removed."""

    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        listed = (await self._call("GET", f"/lists/{audience.ref}?from=0")).parse(Listed)
        if there := [person.key for person in people if person.key in listed.members]:
            await self._call("POST", f"/lists/{audience.ref}/remove", {"emails": there})
        return Result()


@breaks("test_garbage_is_no_audience_and_no_account")
class BelievesInAnAudience(Acme):
    async def ensure_audience(self, name: str) -> Audience:
        await self._call("PUT", f"/lists/{quote(name)}")
        return Audience(name, name.encode().hex())


@breaks("test_garbage_erases_nobody")
class BelievesInAnErasure(Acme):
    capabilities = replace(Acme.capabilities, erase=True)

    async def erase(self, people: Sequence[Person]) -> Result:
        await self._call("POST", "/erase", [person.key for person in people])
        return Result()


@breaks("test_garbage_lists_nobody")
class TakesGarbageForAnEmptyList(Acme):
    capabilities = replace(Acme.capabilities, read_back=True)

    async def members(self, audience: Audience) -> AsyncIterator[str]:
        answer = await self._call("GET", f"/lists/{audience.ref}")
        if answer.body.startswith(b'{"members"'):
            yield "ann"


@breaks("test_garbage_counts_nobody")
class TakesGarbageForNone(Acme):
    capabilities = replace(Acme.capabilities, counts=True)

    async def count(self, audience: Audience) -> int:
        answer = await self._call("GET", f"/lists/{audience.ref}?from=0")
        return 1 if answer.body.startswith(b'{"members"') else 0


@breaks("test_no_error_shows_a_person_or_a_secret")
class QuotesTheAnswer(ReadsStatuses):
    def meaning(self, response: Response) -> ConnectorError | None:
        return AuthError(response.body.decode()) if response.status == 401 else by_status(response)

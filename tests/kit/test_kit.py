"""The kit is put to the test: for every promise there is a connector that breaks it, and the kit finds out."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from hub.sdk import Connector
from hub.sdk.testing import ConnectorContract, HttpConnectorContract, json_body
from hub.sdk.testing.corpus import resubscribing
from tests.kit import test_examples
from tests.kit.broken import BROKEN as BROKEN_AT_ONCE
from tests.kit.broken import LooksBeforeItBelieves
from tests.kit.broken_feedback import BROKEN_FEEDBACK, NumbersPeople, RecognisesNumbers
from tests.kit.broken_jobs import BROKEN_JOBS
from tests.kit.broken_tokens import BROKEN_TOKENS

from test_acme_audiences import FakeAcme  # type: ignore[import-not-found]  # isort: skip
from test_acme_bulk import FakeBulk  # type: ignore[import-not-found]  # isort: skip
from test_acme_telling import SECRET, TellingAcme  # type: ignore[import-not-found]  # isort: skip

BROKEN = {**BROKEN_AT_ONCE, **BROKEN_JOBS, **BROKEN_FEEDBACK, **BROKEN_TOKENS}
PROMISES = [name for name, _ in inspect.getmembers(HttpConnectorContract) if name.startswith("test_")]


PAGE = 1000


class WakefulAcme(FakeAcme):  # type: ignore[misc]
    """An Acme that subscribes whoever is sent with `wake`, says who is on a list and takes a refresh token."""

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET" and request.url.path.startswith("/lists/"):
            return self._page(request)
        if request.url.path == "/token":
            return httpx.Response(200, json={"access_token": "acme-token-1234"})
        response = super().answer(request)
        if request.url.path.endswith("/add"):
            for row in json_body(request)["people"]:
                if row.get("wake"):
                    self.subscriptions[row["email"]] = "subscribed"
        return response

    def _page(self, request: httpx.Request) -> httpx.Response:
        held, start = sorted(self.lists[request.url.path.removeprefix("/lists/")]), int(request.url.params["from"])
        if request.url.params.get("tidy"):
            self.lists[request.url.path.removeprefix("/lists/")] = set()
        if wanted := request.url.params.get("status"):
            held = [key for key in held if self.subscriptions[key] == wanted]
        return httpx.Response(200, json={"members": held[start : start + PAGE], "count": len(held)})


def contract_of(promise: str, broken: type[Connector[Any]] | None = None) -> HttpConnectorContract:
    class Contract(HttpConnectorContract):
        connector = broken or BROKEN[promise]
        config = {  # noqa: RUF012
            "token": "acme-token-1234",
            **({"webhook_secret": SECRET} if promise in BROKEN_FEEDBACK else {}),
        }
        fields = {"first_name": "Annabella"}  # noqa: RUF012

        def make_vendor(self) -> FakeAcme:
            if promise in BROKEN_FEEDBACK:
                return TellingAcme()
            return FakeBulk() if promise in BROKEN_JOBS else WakefulAcme()

    return Contract()


@pytest.mark.parametrize("promise", PROMISES)
async def test_the_kit_finds_the_connector_that_breaks_a_promise(promise: str) -> None:
    assert promise in BROKEN, f"no connector breaks {promise}"
    with pytest.raises((AssertionError, pytest.fail.Exception, IndexError, ValueError)):
        await getattr(contract_of(promise), promise)()


async def test_a_vendor_may_tell_its_own_ids_where_the_connector_recognises_them() -> None:
    promise = "test_what_the_vendor_tells_is_heard"
    await getattr(contract_of(promise, RecognisesNumbers), promise)()
    with pytest.raises(AssertionError, match="was heard as"):
        await getattr(contract_of(promise, NumbersPeople), promise)()


async def test_an_answer_is_doubted_too_that_comes_only_where_there_is_somebody_to_remove() -> None:
    promise = "test_garbage_is_never_success"
    with pytest.raises(AssertionError, match=r"^POST /lists/\w+/remove answered 200 with .* leave it out of `garbage`"):
        await getattr(contract_of(promise, LooksBeforeItBelieves), promise)()


def test_there_is_no_broken_connector_without_its_promise() -> None:
    assert set(BROKEN) == set(PROMISES) and len(PROMISES) >= 35


def test_a_connector_without_http_inherits_the_promises_that_concern_it() -> None:
    own = {name for name, _ in inspect.getmembers(ConnectorContract) if name.startswith("test_")}
    assert own < set(PROMISES)


@pytest.mark.parametrize("state", ["active", "Confirmed", "subscribed"])
def test_a_status_that_makes_a_subscriber_is_found_by_whichever_word_the_vendor_has_for_it(state: str) -> None:
    body = json.dumps({"requests": [{"body": {"email": "ann@kit.example", "status": state}}]}).encode()
    assert resubscribing("/batch", body) == ["status"]
    assert resubscribing("/batch", b'{"plan": "active", "status": "done"}') == []


async def test_everything_that_is_declared_and_not_written_is_told_at_once() -> None:
    class Boasts(test_examples.TestAcme.connector):  # type: ignore[misc]
        capabilities = replace(test_examples.TestAcme.connector.capabilities, counts=True, jobs=True)

    said = "^counts is declared, but count is not written; jobs is declared, but poll is not written"
    with pytest.raises(AssertionError, match=said):
        await contract_of("", Boasts).test_what_is_declared_is_written()


@pytest.mark.parametrize(
    ("promise", "said"),
    [
        ("test_an_old_request_is_not_believed", "signs_time = False"),
        ("test_a_changed_body_is_not_believed", "signs_body = False"),
        ("test_a_stranger_is_not_believed", "without signature or secret was believed"),
        ("test_a_reason_names_no_person", r"refused@kit.example.*scrubbed\(\)"),
        (
            "test_a_refused_person_is_reported_and_the_others_go_in",
            "refused refused@kit.example, and the connector says",
        ),
        ("test_adding_puts_people_into_the_audience", r"members\(\) lacks \w+@kit.example.* too many"),
        (
            "test_everyones_subscription_at_the_vendor_stays_as_it_was",
            "ann@kit.example was unsubscribed and is subscribed",
        ),
    ],
)
async def test_a_broken_promise_says_what_happened_and_what_to_do(promise: str, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        await getattr(contract_of(promise), promise)()


def test_a_field_that_only_says_what_people_agreed_to_is_excused_by_name_and_no_other() -> None:
    body = b'{"members": [{"consent": {"adUserData": "x"}, "opt_in": true}]}'
    assert resubscribing("/x", body) == ["consent", "opt_in"]
    assert resubscribing("/x", body, frozenset({"consent"})) == ["opt_in"]


async def test_a_field_that_differs_each_time_is_excused_by_name_and_no_other() -> None:
    promise = "test_the_same_batch_makes_the_same_requests"
    contract = contract_of(promise)
    type(contract).volatile_fields = frozenset({"attempt"})
    # Also where one more digit makes the body longer.
    for _ in range(4):
        await getattr(contract, promise)()
    type(contract).volatile_fields = frozenset({"email"})
    with pytest.raises(AssertionError):
        await getattr(contract, promise)()


def test_a_vendors_word_for_a_call_about_a_list_is_excused_by_name_and_no_other() -> None:
    path, body = "/api/lists/subscribe", b'{"subscribers": [{"email_subscribe": true}]}'
    assert resubscribing(path, body) == [path, "subscribers", "email_subscribe"]
    assert resubscribing(path, body, frozenset({path, "subscribers"})) == ["email_subscribe"]
    assert resubscribing("/api/users/subscribe", b"{}", frozenset({path})) == ["/api/users/subscribe"]


class RefusesAsOne(FakeAcme):  # type: ignore[misc]
    """An Acme that takes nobody of a batch in which it refuses one."""

    def answer(self, request: httpx.Request) -> httpx.Response:
        rows = (json_body(request) or {}).get("people", [])
        if any(row["email"] in self.refused for row in rows):
            return httpx.Response(400, json={"error": "invalid row"})
        return super().answer(request)


class TestAVendorThatRefusesAWholeBatchForOneRow(test_examples.TestAcme):  # type: ignore[misc]
    """The kit halves such a batch, as the hub does."""

    def make_vendor(self) -> RefusesAsOne:
        return RefusesAsOne()

"""Access tokens: asked for once, renewed in time, and no secret in what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import parse_qs

import httpx
import jwt
import pytest
import respx
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hub.sdk import AccessTokens, AuthError, EgressPolicy, Http, ServiceAccount, Token, TransientError, oauth
from hub.sdk.calls import one_call
from hub.sdk.oauth import OAuthConfig, RefreshedTokens, for_service_account, granted

URL = "https://oauth2.googleapis.com/token"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
CURVE = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def token(text: str, seconds: float = 3600) -> Token:
    return Token.model_validate({"access_token": text, "expires_in": seconds})


async def test_a_token_is_kept_until_shortly_before_it_lapses() -> None:
    clock, asked = Clock(), []

    async def ask() -> Token:
        asked.append(clock.now)
        return token(f"t{len(asked)}")

    tokens = AccessTokens(ask, clock)
    assert [await tokens.bearer() for _ in range(3)] == ["t1"] * 3
    clock.now = 3539
    assert await tokens.bearer() == "t1"
    clock.now = 3540
    assert await tokens.bearer() == "t2"
    tokens.forget()
    assert await tokens.bearer() == "t3" and asked == [0.0, 3540, 3540]


async def test_those_who_need_one_at_the_same_moment_share_one_request() -> None:
    asked = []

    async def ask() -> Token:
        asked.append(1)
        await asyncio.sleep(0)
        return token("t")

    tokens = AccessTokens(ask)
    assert await asyncio.gather(*(tokens.bearer() for _ in range(5))) == ["t"] * 5 and len(asked) == 1


async def test_a_service_account_signs_for_what_it_asks() -> None:
    account = ServiceAccount(client_email="hub@shop.iam.gserviceaccount.com", private_key=PEM, private_key_id="k1")
    with respx.mock() as mock:
        route = mock.post(URL.replace(".com/", ".com:443/")).respond(json={"access_token": "t", "expires_in": 60})
        async with Http(EgressPolicy()) as http:
            got = await for_service_account(http, account, "scope-a")
    form = parse_qs(route.calls[0].request.content.decode())
    claims = jwt.decode(form["assertion"][0], KEY.public_key(), ["RS256"], audience=URL)
    assert got.access_token.get_secret_value() == "t" and got.expires_in == 60
    assert (claims["iss"], claims["scope"], claims["exp"] - claims["iat"]) == (account.client_email, "scope-a", 3600)
    assert jwt.get_unverified_header(form["assertion"][0])["kid"] == "k1"


UNREADABLE = ["", "-----BEGIN PRIVATE KEY-----\nno\n-----END PRIVATE KEY-----", "s3cret", CURVE.decode()]


@pytest.mark.parametrize("key", UNREADABLE, ids=["empty", "broken", "not a key", "of another kind"])
async def test_a_key_that_cannot_be_read_is_an_auth_error_that_does_not_repeat_it(key: str) -> None:
    account = ServiceAccount(client_email="hub@shop", private_key=key)
    async with Http(EgressPolicy()) as http:
        with pytest.raises(AuthError) as error:
            await for_service_account(http, account, "scope-a")
    assert error.value.reason == "the private key of the service account cannot be read"
    assert error.value.__suppress_context__ or not error.value.__context__


def test_a_key_file_of_another_kind_is_refused_in_words_that_do_not_repeat_it() -> None:
    for text in ("", "{}", '{"private_key": "s3cret"}', "s3cret"):
        with pytest.raises(ValueError, match="JSON key file") as error:
            ServiceAccount.read(text)
        assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        (400, b'{"error": "invalid_grant", "error_description": "s3cret"}', AuthError, "gives no token: invalid_grant"),
        (400, b'{"error": "s3cret"}', AuthError, "gives no token: it says not why"),
        (400, b"<html>", AuthError, "gives no token: it says not why"),
        (401, b"", AuthError, "answered 401"),
        (503, b"", TransientError, "answered 503"),
        (200, b"{}", TransientError, "another shape"),
        (200, b'{"access_token": ""}', TransientError, "another shape"),
    ],
)
async def test_what_a_token_endpoint_refuses(status: int, body: bytes, error: type[Exception], said: str) -> None:
    with respx.mock() as mock:
        mock.post().mock(return_value=httpx.Response(status, content=body))
        async with Http(EgressPolicy()) as http:
            with pytest.raises(error) as raised:
                await granted(http, URL, {"grant_type": "refresh_token", "refresh_token": "s3cret"})
    assert said in str(raised.value) and "s3cret" not in str(raised.value)


async def test_asking_for_a_token_has_changed_nothing_at_the_vendor_yet() -> None:
    with respx.mock() as mock:
        mock.post().respond(json={"access_token": "t"})
        async with Http(EgressPolicy()) as http:
            with pytest.raises(AuthError) as raised, one_call():
                await granted(http, URL, {"grant_type": "client_credentials"})
                raise AuthError("no")
    assert raised.value.reached is False


FORM = {"grant_type": "refresh_token", "client_id": "app", "client_secret": "s3cret", "refresh_token": "r0"}


def test_a_configuration_says_what_its_refresh_token_is_exchanged_with() -> None:
    given = {name: value for name, value in FORM.items() if name != "grant_type"}
    assert OAuthConfig.model_validate(given).grant == FORM


class Strict:
    """A vendor that voids a refresh token as it gives the next; `newest` is the only one that is good."""

    def __init__(self) -> None:
        self.newest, self.count, self.used = "r0", 0, list[str]()
        self.answering = asyncio.Event()
        self.answering.set()
        self.asked = asyncio.Event()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        form = parse_qs(request.content.decode())
        assert form["client_id"] == ["app"]
        self.used += form["refresh_token"]
        self.asked.set()
        if form["refresh_token"] != [self.newest]:
            return httpx.Response(400, json={"error": "invalid_grant"})
        self.count += 1
        self.newest = f"r{self.count}"
        await self.answering.wait()
        return httpx.Response(200, json={"access_token": f"t{self.count}", "refresh_token": self.newest})


@contextlib.asynccontextmanager
async def client(vendor: Strict) -> AsyncIterator[Http]:
    # A call that is cut off is not counted as one.
    with respx.mock(assert_all_called=False) as mock:
        mock.post().mock(side_effect=vendor)
        async with Http(EgressPolicy()) as http:
            yield http


async def test_a_refresh_token_that_rotates_is_followed_and_given_up_for_the_given_one_where_it_is_refused() -> None:
    answers = [
        {"access_token": "t1", "refresh_token": "r1"},
        {"access_token": "t2"},
        {"error": "invalid_grant"},
        {"access_token": "t3"},
        {"access_token": "t4"},
    ]
    responses = [httpx.Response(400 if "error" in answer else 200, json=answer) for answer in answers]
    with respx.mock() as mock:
        route = mock.post().mock(side_effect=responses)
        async with Http(EgressPolicy()) as http:
            tokens = RefreshedTokens(http, URL, FORM)
            got = []
            for _ in range(4):
                got.append(await tokens.bearer())
                tokens.forget()
    assert got == ["t1", "t2", "t3", "t4"]
    sent = [parse_qs(call.request.content.decode()) for call in route.calls]
    assert [form["refresh_token"] for form in sent] == [["r0"], ["r1"], ["r1"], ["r0"], ["r0"]]
    assert {form["client_id"][0] for form in sent} == {"app"}


async def test_a_wrong_client_secret_costs_no_refresh_token() -> None:
    answers = [
        httpx.Response(200, json={"access_token": "t1", "refresh_token": "r1"}),
        httpx.Response(401, json={"error": "invalid_client"}),
        httpx.Response(401, json={"error": "invalid_client"}),
        httpx.Response(200, json={"access_token": "t2"}),
    ]
    with respx.mock() as mock:
        route = mock.post().mock(side_effect=answers)
        async with Http(EgressPolicy()) as http:
            tokens = RefreshedTokens(http, URL, FORM)
            assert await tokens.bearer() == "t1"
            tokens.forget()
            with pytest.raises(AuthError):
                await tokens.bearer()
            assert await tokens.bearer() == "t2"
    assert parse_qs(route.calls[-1].request.content.decode())["refresh_token"] == ["r1"]


async def test_whoever_asks_next_begins_with_the_newest_refresh_token() -> None:
    vendor = Strict()
    async with client(vendor) as http:
        assert await RefreshedTokens(http, URL, FORM).bearer() == "t1"
        assert await RefreshedTokens(http, URL, FORM).bearer() == "t2"
    assert vendor.used == ["r0", "r1"]


async def test_another_refresh_token_that_is_given_goes_before_what_was_kept() -> None:
    vendor = Strict()
    async with client(vendor) as http:
        await RefreshedTokens(http, URL, FORM).bearer()
        vendor.newest = "another"
        await RefreshedTokens(http, URL, {**FORM, "refresh_token": "another"}).bearer()
    assert vendor.used == ["r0", "another"]


async def test_those_who_exchange_at_once_take_turns_so_that_none_uses_what_another_had_replaced() -> None:
    vendor = Strict()
    async with client(vendor) as http:
        got = await asyncio.gather(*(RefreshedTokens(http, URL, FORM).bearer() for _ in range(5)))
    assert got == ["t1", "t2", "t3", "t4", "t5"]
    assert vendor.used == ["r0", "r1", "r2", "r3", "r4"]


async def test_who_is_cut_off_while_the_vendor_answers_loses_no_refresh_token() -> None:
    vendor = Strict()
    vendor.answering.clear()
    async with client(vendor) as http:
        asking = asyncio.create_task(RefreshedTokens(http, URL, FORM).bearer())
        await vendor.asked.wait()
        asking.cancel()
        await asyncio.sleep(0)
        vendor.answering.set()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await RefreshedTokens(http, URL, FORM).bearer() == "t2"
    assert vendor.used == ["r0", "r1"]


async def test_a_vendor_that_does_not_answer_holds_up_nobody_who_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oauth, "PARTING_S", 0.01)
    vendor = Strict()
    vendor.answering.clear()
    async with client(vendor) as http:
        asking = asyncio.create_task(RefreshedTokens(http, URL, FORM).bearer())
        await vendor.asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_a_token_that_the_vendor_refuses_is_not_used_again() -> None:
    asked = []

    async def ask() -> Token:
        asked.append(1)
        return token(f"t{len(asked)}")

    with respx.mock() as mock:
        route = mock.get("https://api.example:443/me").mock(
            side_effect=[httpx.Response(200), httpx.Response(503), httpx.Response(401), httpx.Response(200)]
        )
        async with Http(EgressPolicy()) as http:
            tokens = AccessTokens(ask)
            for error in (None, TransientError, AuthError, None):
                with pytest.raises(error) if error else contextlib.nullcontext():
                    await tokens.request(http, "GET", "https://api.example/me", headers={"x-own": "1"})
    assert [call.request.headers["authorization"] for call in route.calls] == ["Bearer t1"] * 3 + ["Bearer t2"]
    assert {call.request.headers["x-own"] for call in route.calls} == {"1"}

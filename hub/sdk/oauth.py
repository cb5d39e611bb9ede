"""Access tokens that last for a while: asked for when first needed, kept until shortly before they lapse."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

import jwt
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import BaseModel, Field, SecretStr, ValidationError

from hub.sdk.answers import Response, by_status
from hub.sdk.config import ConnectorConfig
from hub.sdk.errors import AuthError, ConnectorError
from hub.sdk.http import Http

EARLY_S = 60.0
"""A token is renewed so long before it lapses, since a request with it takes a while to arrive."""

PARTING_S = 1.5
"""How long an exchange may still take once nobody waits for it any more."""

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Token(BaseModel):
    """What every token endpoint answers (RFC 6749, section 5.1); `expires_in` is in seconds. `refresh_token` comes from
    vendors who give another one with each access token."""

    access_token: SecretStr = Field(min_length=1)
    expires_in: float = Field(3600.0, gt=0)
    refresh_token: SecretStr | None = None


class OAuthConfig(ConnectorConfig):
    """A configuration for an account that a person has opened to an app: what a refresh token needs (RFC 6749)."""

    client_id: str = Field(min_length=1, description="The OAuth app's client id.")
    client_secret: SecretStr = Field(min_length=1, description="The OAuth app's client secret.")
    refresh_token: SecretStr = Field(
        min_length=1, description="The refresh token that a person's consent gave the app."
    )

    @property
    def grant(self) -> dict[str, str]:
        """What a refresh token is exchanged with."""
        return {
            "grant_type": "refresh_token",
            "client_id": self.client_id,
            "client_secret": self.client_secret.get_secret_value(),
            "refresh_token": self.refresh_token.get_secret_value(),
        }


class ServiceAccount(BaseModel):
    """The parts of a Google service account's key file that signing needs."""

    client_email: str
    private_key: SecretStr
    private_key_id: str = ""
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address

    @classmethod
    def read(cls, key_file: str) -> ServiceAccount:
        """Raises ValueError, without repeating anything of the file."""
        try:
            return cls.model_validate_json(key_file)
        except ValidationError:
            raise ValueError("must be the JSON key file of a service account") from None


class AccessTokens:
    """Tokens as `ask` gets them. One instance per connector; those who ask at one moment share one request."""

    def __init__(self, ask: Callable[[], Awaitable[Token]], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._lock = asyncio.Lock()
        self._token = ""
        self._until = 0.0

    async def bearer(self) -> str:
        """A token that is good for now. Raises what `ask` raises."""
        async with self._lock:
            if not self._token or self._clock() >= self._until:
                asked_at = self._clock()
                token = await self._ask()
                self._token = token.access_token.get_secret_value()
                self._until = asked_at + token.expires_in - min(EARLY_S, token.expires_in / 2)
            return self._token

    def forget(self) -> None:
        """The vendor does not take the token any more: the next call asks for another."""
        self._token = ""

    async def request(
        self, http: Http, method: str, url: str, *, headers: Mapping[str, str] | None = None, **request: Any
    ) -> Response:
        """`Http.request` with a token. One that the vendor refuses is not used again."""
        bearer = {"authorization": f"Bearer {await self.bearer()}"}
        try:
            return await http.request(method, url, headers={**bearer, **(headers or {})}, **request)
        except AuthError:
            self.forget()
            raise


class RefreshedTokens(AccessTokens):
    """Tokens for the refresh token in `form`. Where the vendor gives another refresh token with each (rotation), the
    hub keeps the newest, sealed, for the next process and for other workers, who take turns: so none of them uses one
    that another has just had replaced. Where the newest is refused the given one is tried, and another one that the
    admin gives goes before all that was kept."""

    def __init__(self, http: Http, url: str, form: Mapping[str, str], auth: tuple[str, str] | None = None) -> None:
        super().__init__(lambda: to_its_end(self._exchanged()))
        self._http, self._url, self._form, self._auth = http, url, form, auth

    async def _exchanged(self) -> Token:
        given = self._form["refresh_token"]
        async with self._http.keeper.turn(given) as turn:
            used, token = await self._granted(given, turn.newest)
            newest = token.refresh_token.get_secret_value() if token.refresh_token else used
            if newest != (turn.newest or given):
                await turn.keep(newest)
            return token

    async def _granted(self, given: str, newest: str | None) -> tuple[str, Token]:
        """The refresh token that was taken, and what came of it."""
        if newest is not None:
            with suppress(AuthError):
                return newest, await self._granted_for(newest)
        return given, await self._granted_for(given)

    async def _granted_for(self, refresh_token: str) -> Token:
        return await granted(self._http, self._url, {**self._form, "refresh_token": refresh_token}, self._auth)


async def to_its_end(exchange: Coroutine[Any, Any, Token]) -> Token:
    """Whoever is cut off in the middle of an exchange would lose the only refresh token that is still good: so it is
    given a moment to end, unless the vendor keeps it waiting."""
    task = asyncio.ensure_future(exchange)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=PARTING_S)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise


async def granted(http: Http, url: str, form: Mapping[str, str], auth: tuple[str, str] | None = None) -> Token:
    """One request to a token endpoint (`grant_type` and what goes with it in `form`); AuthError where it refuses."""
    typed = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
    content = urlencode(form).encode()
    answer = await http.request(
        "POST", url, content=content, headers=typed, auth=auth, classify=_refusal, changes=False
    )
    return answer.parse(Token)


async def for_service_account(http: Http, account: ServiceAccount, scope: str) -> Token:
    """A token for a service account, by a signed assertion (RFC 7523)."""
    now = int(time.time())
    claims = {
        "iss": account.client_email,
        "scope": scope,
        "aud": account.token_uri,
        "iat": now,
        "exp": now + 3600,
    }
    named = {"kid": account.private_key_id} if account.private_key_id else None
    try:
        assertion = jwt.encode(claims, _signing_key(account.private_key.get_secret_value()), "RS256", headers=named)
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError):
        raise AuthError("the private key of the service account cannot be read") from None
    return await granted(http, account.token_uri, {"grant_type": JWT_BEARER, "assertion": assertion})


@lru_cache(maxsize=32)
def _signing_key(pem: str) -> RSAPrivateKey:
    # Reading one takes some 50 ms of processor, in which nothing else moves: its numbers are tried for being primes.
    key = load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, RSAPrivateKey):
        raise TypeError("not an RSA key")
    return key


def _refusal(response: Response) -> ConnectorError | None:
    """Token endpoints say 400 for credentials that do not hold (`invalid_grant`, `invalid_client`)."""
    if response.status == 400:
        return AuthError(f"{response.host} gives no token: {_word(response)}")
    return by_status(response)


def _word(response: Response) -> str:
    """The endpoint's error code, where it is one of the standard's words: nothing else of its answer is repeated."""
    try:
        said = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return "it says not why"
    code = said.get("error") if isinstance(said, dict) else None
    return code if code in _WORDS else "it says not why"


_WORDS = frozenset(
    {"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type"}
    | {"invalid_scope"}
)

"""One connector for each promise about refresh tokens: the Acme of the documentation, wrong in that one thing."""

from __future__ import annotations

from typing import Any

from acme_audiences import Acme  # type: ignore[import-not-found]

from hub.sdk import AccessTokens, Account, Connector, Token, granted


class BeginsWithTheTokenItWasGiven(Acme):
    async def check(self) -> Account:
        await AccessTokens(self._ask).bearer()
        return await super().check()

    async def _ask(self) -> Token:
        form = {"grant_type": "refresh_token", "refresh_token": self.config.token.get_secret_value()}
        return await granted(self.http, f"{self.config.url}/token", form)


BROKEN_TOKENS: dict[str, type[Connector[Any]]] = {
    "test_a_refresh_token_that_rotates_is_followed_into_the_next_process": BeginsWithTheTokenItWasGiven
}

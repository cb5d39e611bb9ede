"""The calls to Google. A list takes a request of many people at once, and says much later what became of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from hub.sdk import (
    AccessTokens,
    Account,
    Audience,
    Capabilities,
    Channel,
    Connector,
    DailyBudget,
    Outcome,
    OutcomeKind,
    Person,
    RefreshedTokens,
    Response,
    Result,
    ServiceAccount,
    Window,
    for_service_account,
    pages,
)

from . import answers
from .config import GoogleConfig
from .members import ADDRESS, CONTACTS, DEVICES, SIGNALS, member

SCOPE = "https://www.googleapis.com/auth/datamanager"
PAGE = 1000
FIRST_PARTY = "DATA_SOURCE_TYPE_FIRST_PARTY"


class Google(Connector[GoogleConfig]):
    key = "google"
    title = "Google Customer Match"
    channel = Channel.ADS
    capabilities = Capabilities(
        identifiers=(*CONTACTS, *DEVICES),
        spellings={**{kind: f"google.{kind}" for kind in (*CONTACTS, *DEVICES)}, **ADDRESS},
        signals=SIGNALS,
        batch=10_000,
        concurrency=4,
        jobs=True,
        job_deadline_s=86_400.0,
        limits=(Window(300, seconds=60.0), DailyBudget(100_000, zone="America/Los_Angeles")),
        least_audience=100,
        effect_within_s=172_800.0,
    )
    Config = GoogleConfig
    scopes = (SCOPE,)

    def limits(self) -> Capabilities:
        """A list holds contacts or devices, so that a destination sends only those; quotas are the project's."""
        mine = self.config
        return replace(
            self.capabilities,
            identifiers=CONTACTS if mine.upload == "contacts" else DEVICES,
            job_deadline_s=mine.deadline_hours * 3600,
            limits=(Window(mine.requests_per_minute, 60.0), DailyBudget(mine.requests_per_day, mine.quota_zone)),
        )

    async def check(self) -> Account:
        """That lists can be read, and that one could be made: Google only looks at it."""
        (await self._call("GET", self._lists, params={"pageSize": 1})).parse(answers.UserLists)
        await self._call(
            "POST", self._lists, json=self._list("hub check"), params={"validateOnly": "true"}, changes=False
        )
        return Account(f"{self.config.account_type} {self.config.account_id}")

    async def ensure_audience(self, name: str) -> Audience:
        wanted = self._list(name)
        async for found in self._found(wanted["integrationCode"]):
            return Audience(name, ref=found.id)
        made = await self._call("POST", self._lists, json=wanted)
        return Audience(name, ref=made.parse(answers.UserList).id)

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        terms = {"termsOfService": {"customerMatchTermsOfServiceStatus": "ACCEPTED"}}
        return await self._submit("/v1/audienceMembers:ingest", audience, people, terms)

    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        return await self._submit("/v1/audienceMembers:remove", audience, people, {})

    async def poll(self, audience: Audience, job: str, keys: Sequence[str]) -> Result:  # noqa: ARG002
        asking = {"params": {"requestId": job}, "classify": answers.about_a_request}
        answer = await self._call("GET", "/v1/requestStatus:retrieve", **asking)
        progress = answer.parse(answers.Progress)
        if progress.running:
            return Result(job=job)
        return answers.verdict(progress, keys, by_index=self.config.name_by_index)

    async def _submit(self, path: str, audience: Audience, people: Sequence[Person], more: dict[str, Any]) -> Result:
        """Without the rows that Google calls malformed once more, since they fail the whole request."""
        try:
            return await self._send(path, audience, people, more)
        except answers.RowsRefusedError as refusal:
            refused = {people[row].key: word for row, word in refusal.rows.items() if row < len(people)}
        others = [person for person in people if person.key not in refused]
        rejected = Result({key: Outcome(OutcomeKind.REJECTED, word) for key, word in refused.items()})
        return rejected.merged(await self._send(path, audience, others, more))

    async def _send(self, path: str, audience: Audience, rows: Sequence[Person], more: dict[str, Any]) -> Result:
        if not rows:
            return Result()
        login = self.config.login_account
        destination = {
            "operatingAccount": self.config.account,
            "productDestinationId": audience.ref,
            **({"loginAccount": login} if login else {}),
        }
        consenting = "termsOfService" in more
        members = [member(person, consenting=consenting) for person in rows]
        body = {"destinations": [destination], "audienceMembers": members, "encoding": "HEX", **more}
        taken = (await self._call("POST", path, json=body)).parse(answers.Taken)
        return Result(job=taken.request, retry_after=self.config.first_look_s)

    async def _found(self, code: str) -> AsyncIterator[answers.UserList]:
        """Filters may be looser than they read: only the very same code is ours."""
        async for page in pages(partial(self._page, code), lambda page: page.following):
            for found in page.lists:
                if found.code == code:
                    yield found

    async def _page(self, code: str, token: str | None) -> answers.UserLists:
        quoted = code.replace("\\", "\\\\").replace('"', '\\"')
        asked = {"filter": f'integration_code = "{quoted}"', "pageSize": PAGE}
        asked |= {"pageToken": token} if token else {}
        return (await self._call("GET", self._lists, params=asked)).parse(answers.UserLists)

    def _list(self, name: str) -> dict[str, Any]:
        """As it is made. The code says what it holds, since one name may be a list of each kind and app."""
        app = self.config.app_id if self.config.upload == "devices" else None
        mobile = {"appId": app, "keySpace": self.config.platform, "dataSourceType": FIRST_PARTY}
        contacts = {"uploadKeyTypes": ["CONTACT_ID"], "contactIdInfo": {"dataSourceType": FIRST_PARTY}}
        return {
            "displayName": f"{name} ({app})" if app else name,
            "integrationCode": f"{app or 'contacts'}:{name}",
            "membershipDuration": f"{self.config.membership_days * 86_400}s",
            "membershipStatus": "OPEN",
            "ingestedUserListInfo": {"uploadKeyTypes": ["MOBILE_ID"], "mobileIdInfo": mobile} if app else contacts,
        }

    @property
    def _lists(self) -> str:
        account = self.config.account
        return f"/v1/accountTypes/{account['accountType']}/accounts/{account['accountId']}/userLists"

    @cached_property
    def _tokens(self) -> AccessTokens:
        mine = self.config
        if mine.service_account:
            account = ServiceAccount.read(mine.service_account.get_secret_value())
            return AccessTokens(lambda: for_service_account(self.http, account, SCOPE))
        return RefreshedTokens(self.http, mine.oauth_url, mine.grant)

    async def _call(self, method: str, path: str, **request: Any) -> Response:
        request.setdefault("classify", answers.by_meaning)
        headers = {}
        if login := self.config.login_account:
            headers["login-account"] = f"accountTypes/{login['accountType']}/accounts/{login['accountId']}"
        url = f"{self.config.api_url.rstrip('/')}{path}"
        return await self._tokens.request(self.http, method, url, headers=headers, **request)

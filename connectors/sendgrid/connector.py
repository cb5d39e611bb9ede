"""The calls to SendGrid.

Nobody's subscription is touched: those who have unsubscribed, bounced or complained stand in lists of their own, which
are never written to. Nor is a contact ever deleted but to erase somebody: leaving a list is another call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from hub.sdk import (
    Account,
    Audience,
    AuthError,
    Capabilities,
    Channel,
    Connector,
    EgressDenied,
    Feedback,
    Inbound,
    Outcome,
    OutcomeKind,
    Person,
    RefusedError,
    Remaining,
    Response,
    Result,
    TransientError,
)

from . import answers, fields
from .config import SendGridConfig
from .contacts import AT_ONCE, Contacts, cut
from .notices import notices
from .recent import Recent
from .signatures import insist_signed_by

ERASED_AT_ONCE = 1000
ROUNDS = 20
REMOVAL = "removal-"
JOB_DEADLINE_S = 3600.0

Send = Callable[[Sequence[Person]], Awaitable[Response]]


class SendGrid(Connector[SendGridConfig]):
    key = "sendgrid"
    title = "SendGrid Marketing"
    channel = Channel.EMAIL
    capabilities = Capabilities(
        key="email", batch=10_000, concurrency=2, counts=True, erase=True, feedback=True,
        jobs=True, job_deadline_s=JOB_DEADLINE_S, limits=(Remaining(),),
    )  # fmt: skip
    Config = SendGridConfig
    scopes: ClassVar = ("Marketing: full access", "recipients.erasejob.create")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._contacts = Contacts(self._call)
        self._recent = Recent(JOB_DEADLINE_S)
        self._fields: fields.Known = {}

    def limits(self) -> Capabilities:
        return replace(self.capabilities, batch=self.config.batch)

    async def check(self) -> Account:
        allowed = (await self._call("GET", "/v3/scopes")).parse(answers.Scopes).scopes
        if not any(scope.startswith("marketing") for scope in allowed):
            raise AuthError("the key may do nothing in Marketing: give it full access there")
        count = (await self._call("GET", "/v3/marketing/contacts/count")).parse(answers.Count).contact_count
        return Account(f"account with {count:,} contacts")

    async def ensure_audience(self, name: str) -> Audience:
        async for one in self._lists():
            if one.name == name:
                return Audience(name, ref=one.id)
        made = await self._call("POST", "/v3/marketing/lists", json={"name": name})
        return Audience(name, ref=made.parse(answers.Made).id)

    async def add(self, audience: Audience, people: Sequence[Person]) -> Result:
        known = await self._fields_for(people)

        async def upsert(some: Sequence[Person]) -> Response:
            body = {"list_ids": [audience.ref], "contacts": [fields.contact(person, known) for person in some]}
            return await self._call("PUT", "/v3/marketing/contacts", json=body, classify=answers.about_an_upsert)

        # Before it is sent: what goes unanswered may have come in as well.
        self._recent.note(person.key for person in people)
        submitted, refused = await _without_the_invalid(people, upsert)
        return Result(refused, job=submitted.parse(answers.Submitted).job_id if submitted else None)

    async def remove(self, audience: Audience, people: Sequence[Person]) -> Result:
        """Those who cannot be found are no contacts, unless they were added so lately that the search may miss them."""
        ids = await self._contacts.ids([person.key for person in people])
        job, left = await self._take_off(audience, [person.key for person in people if person.key in ids], ids)
        absent = {person.key: self._absence(person.key) for person in people if person.key not in ids}
        outcomes = {**absent, **dict.fromkeys(left, answers.NOT_REMOVED)}
        return Result(outcomes, job=f"{REMOVAL}{job}" if job else None)

    async def poll(self, audience: Audience, job: str, keys: Sequence[str]) -> Result:
        if job.startswith(REMOVAL):
            return await self._removed(audience, job, keys)
        path = f"/v3/marketing/contacts/imports/{quote(job, safe='')}"
        told = (await self._call("GET", path, classify=answers.known_at_all("job"))).parse(answers.Job)
        if told.status == "pending":
            return Result(job=job)
        if hidden := self._hidden_for(told):
            return Result(job=job, retry_after=hidden)
        return Result() if told.status == "completed" else await self._failures(told, keys)

    async def count(self, audience: Audience) -> int:
        found = await self._call("GET", f"{_list(audience)}/contacts/count", classify=answers.about_the_list)
        return found.parse(answers.Count).contact_count

    async def erase(self, people: Sequence[Person]) -> Result:
        """The contacts, and what SendGrid keeps of the mail to them, which is another call."""
        contacts = await self._contacts.found([person.key for person in people])
        for some in cut([contact.id for contact in contacts.values()], AT_ONCE):
            await self._delete(some)
        self._contacts.forget(contacts)
        self._recent.forget(contacts)
        absent = (person.key for person in people if person.key not in contacts)
        outcomes = {key: answers.NOT_FOUND_YET for key in absent if key in self._recent}
        for part in cut(people, ERASED_AT_ONCE):
            submitted, refused = await _without_the_invalid(part, self._erase)
            outcomes |= refused
            if submitted:
                submitted.parse(answers.Submitted)
        return Result(outcomes)

    def feedback(self, request: Inbound) -> Sequence[Feedback]:
        oldest = timedelta(seconds=self.config.oldest_signature_s)
        insist_signed_by(self.config.verification_key, request, oldest)
        return notices(request.body, self.config.unsubscribe_groups)

    # -- adding -------------------------------------------------------------------------------------------------------

    async def _fields_for(self, people: Sequence[Person]) -> fields.Known:
        """What SendGrid calls the mapped fields; asked again for those that may have been defined since."""
        wanted = fields.names(people)
        if wanted - self._fields.keys():
            defined = await self._call("GET", "/v3/marketing/field_definitions")
            self._fields = fields.known(defined.parse(answers.FieldDefinitions))
            fields.insist_known(wanted, self._fields)
        return self._fields

    def _hidden_for(self, job: answers.Job) -> float:
        """Seconds until the search must find the contacts of a job. Where SendGrid does not say when it finished, they
        never certainly are: then nobody knows, which has removes repeated."""
        lag = float(self.config.search_lag_s)
        if not lag or not job.finished_at:
            return lag
        finished = job.finished_at if job.finished_at.tzinfo else job.finished_at.replace(tzinfo=UTC)
        return max(0.0, lag - (datetime.now(UTC) - finished).total_seconds())

    async def _failures(self, job: answers.Job, keys: Sequence[str]) -> Result:
        """Whom the file of errors names. Of the others, SendGrid says how many there are."""
        told = job.results or answers.JobResults()
        named = answers.named(await self._file(told.errors_url), keys)
        refused = dict.fromkeys(named, answers.REFUSED)
        if job.status == "failed":
            return Result({**dict.fromkeys(keys, answers.FAILED), **refused})
        unnamed = max(0, told.errored_count - len(named))
        rest = OutcomeKind.ACCEPTED if named and not unnamed else OutcomeKind.UNKNOWN
        return Result(refused, rest, invalid=unnamed)

    async def _file(self, url: str) -> str:
        if not url:
            return ""
        try:
            answer = await self.http.request("GET", url, classify=answers.about_a_file)
        except EgressDenied:
            return ""
        return answer.body.decode(errors="replace")

    # -- removing -----------------------------------------------------------------------------------------------------

    def _absence(self, key: str) -> Outcome:
        return answers.NOT_FOUND_YET if key in self._recent else answers.NOTHING_TO_DO

    async def _take_off(
        self, audience: Audience, keys: Sequence[str], ids: Mapping[str, str]
    ) -> tuple[str | None, list[str]]:
        """The first of the jobs that do it, and those who are in none. What is submitted stays so when SendGrid stops
        us in the middle: each attempt leaves fewer to the next."""
        job, left = None, list[str]()
        for number, some in enumerate(cut(keys, AT_ONCE)):
            try:
                submitted = await self._take_some_off(audience, some, ids)
            except TransientError:
                if job is None:
                    raise
                return job, [*left, *keys[number * AT_ONCE :]]
            job = job or submitted
            left += [] if submitted else some
        return job, left

    async def _take_some_off(self, audience: Audience, keys: Sequence[str], ids: Mapping[str, str]) -> str | None:
        """The job that does it; None where SendGrid does not know one of the contacts any more."""
        path, listed = f"{_list(audience)}/contacts", {"contact_ids": ",".join(ids[key] for key in keys)}
        answer = await self._call("DELETE", path, params=listed, classify=answers.passing(404))
        if answer.status != 404:
            return answer.parse(answers.Submitted).job_id
        await self._call("GET", _list(audience), classify=answers.about_the_list)
        self._contacts.forget(keys)
        return None

    async def _removed(self, audience: Audience, job: str, keys: Sequence[str]) -> Result:
        """SendGrid tells nothing of such a job: it is done when nobody in it is on the list any more."""
        contacts = await self._contacts.found(keys)
        still = any(audience.ref in contact.list_ids for contact in contacts.values())
        return Result(job=job) if still else Result()

    # -- erasing ------------------------------------------------------------------------------------------------------

    async def _delete(self, ids: Sequence[str]) -> None:
        known = answers.known_at_all("contacts")
        gone = await self._call("DELETE", "/v3/marketing/contacts", params={"ids": ",".join(ids)}, classify=known)
        gone.parse(answers.Accepted)

    async def _erase(self, people: Sequence[Person]) -> Response:
        body = {"email_addresses": [person.key for person in people]}
        return await self._call("POST", "/v3/recipients/erasejob", json=body, classify=answers.passing(400))

    # -- the calls themselves -----------------------------------------------------------------------------------------

    async def _lists(self) -> AsyncIterator[answers.Made]:
        token: str | None = ""
        while token is not None:
            wanted = {"page_size": 1000, **({"page_token": token} if token else {})}
            page = (await self._call("GET", "/v3/marketing/lists", params=wanted)).parse(answers.Lists)
            for one in page.result:
                yield one
            token = page.following

    async def _call(self, method: str, path: str, **request: Any) -> Response:
        bearer = {"authorization": f"Bearer {self.config.api_key.get_secret_value()}"}
        return await self.http.request(method, f"{self.config.base}{path}", headers=bearer, **request)


def _list(audience: Audience) -> str:
    return f"/v3/marketing/lists/{quote(audience.ref, safe='')}"


async def _without_the_invalid(people: Sequence[Person], send: Send) -> tuple[Response | None, dict[str, Outcome]]:
    """SendGrid refuses everybody because of one address that is not valid, and names it in its sentence only: whoever
    is named is left out, and the others are sent again. The answer to them, and the outcomes of the former."""
    refused: dict[str, Outcome] = {}
    for _ in range(ROUNDS):
        left = [person for person in people if person.key not in refused]
        response = await send(left) if left else None
        if response is None or response.status != 400:
            return response, refused
        named = answers.named(answers.said(response), [person.key for person in left])
        if not named:
            break
        refused |= dict.fromkeys(named, answers.INVALID)
    raise RefusedError("SendGrid refuses people without naming them", divisible=True)

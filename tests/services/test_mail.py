"""E-mail over a real socket: encrypted, under the egress policy, and silent about what the server said."""

from __future__ import annotations

from email.message import EmailMessage
from urllib.parse import quote

import pytest
from pydantic import ValidationError

from hub.errors import HubError
from hub.sdk.egress import EgressDenied, EgressPolicy
from hub.sdk.errors import AuthError, ConnectorError, RefusedError, TransientError
from hub.services import mail
from hub.services.mail import PartlyRefused
from hub.settings import Settings
from tests.services.receivers import PASSWORD, USER, Mailbox, mail_listening, trusted


@pytest.fixture(autouse=True)
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "trusting_the_usual", trusted)


def letter(*to: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = "hub@example.com", ", ".join(to or ("ops@example.com",))
    message["Subject"] = "A sync needs attention"
    message.set_content("“vip” is bad.\n")
    return message


async def sent(
    box: Mailbox, *to: str, scheme: str = "smtp", rest: str = "", login: str = f"{USER}:{quote(PASSWORD, safe='')}@"
) -> None:
    settings = Settings(smtp_url=f"{scheme}://{login}127.0.0.1:{box.port}{rest}", smtp_from="hub@example.com")
    policy = EgressPolicy(frozenset({f"127.0.0.1:{box.port}"}))
    await mail.send(policy, mail.mail_server(settings), letter(*to))


async def test_a_letter_goes_out_over_starttls_with_a_login() -> None:
    async with mail_listening() as box:
        await sent(box, "ops@example.com", "boss@example.com")
    [found] = box.letters
    assert (found["To"], found["Subject"]) == ("ops@example.com, boss@example.com", "A sync needs attention")
    assert found.get_content().strip() == "“vip” is bad." and box.encrypted == [True]


async def test_a_letter_goes_out_over_tls_from_the_first_byte() -> None:
    async with mail_listening(implicit=True) as box:
        await sent(box, scheme="smtps")
    assert len(box.letters) == 1 and box.encrypted == [True]


async def test_a_server_without_starttls_gets_no_letter_and_no_password() -> None:
    async with mail_listening(starttls=False, login=False) as box:
        for login in ("", "hub:hunter@"):
            with pytest.raises(RefusedError, match="TLS"):
                await sent(box, login=login)
        assert box.letters == []
        await sent(box, rest="?tls=none", login="")
    assert len(box.letters) == 1 and box.encrypted == [False]


async def test_a_certificate_that_nobody_vouches_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    async with mail_listening() as box:
        with pytest.raises(TransientError):
            await sent(box)
    assert box.letters == []


async def test_a_private_address_must_be_listed_and_so_must_one_without_tls() -> None:
    async with mail_listening(starttls=False, login=False) as box:
        for rest in ("", "?tls=none"):
            server = mail.mail_server(Settings(smtp_url=f"smtp://127.0.0.1:{box.port}{rest}", smtp_from="a@b.example"))
            with pytest.raises(EgressDenied):
                await mail.send(EgressPolicy(), server, letter())
    assert box.letters == []


async def test_a_wrong_password_is_said_without_repeating_it() -> None:
    async with mail_listening() as box:
        with pytest.raises(AuthError) as refused:
            await sent(box, login="hub:hunter-hunter@")
    assert "hunter" not in str(refused.value) and "HUB_SMTP_URL" in str(refused.value)


@pytest.mark.parametrize(
    ("answer", "error"),
    [("451 4.3.0 try later, ops@example.com", TransientError), ("554 5.7.1 no, ops@example.com", RefusedError)],
)
async def test_what_the_server_says_of_a_letter_is_told_by_its_code_alone(
    answer: str, error: type[ConnectorError]
) -> None:
    async with mail_listening() as box:
        box.answers.append(answer)
        with pytest.raises(error, match=answer[:3]) as refused:
            await sent(box)
    assert "ops@" not in str(refused.value)


async def test_refused_recipients_are_counted_and_a_letter_that_reached_some_is_not_sent_again() -> None:
    async with mail_listening() as box:
        box.refuses["boss@example.com"] = "550 5.1.1 no such boss"
        with pytest.raises(PartlyRefused, match="refused 1 of") as partly:
            await sent(box, "ops@example.com", "boss@example.com")
        assert len(box.letters) == 1 and "boss" not in str(partly.value)
        with pytest.raises(RefusedError, match="550") as wholly:
            await sent(box, "boss@example.com")
        box.refuses["boss@example.com"] = "450 4.2.1 mailbox busy"
        with pytest.raises(TransientError, match="450"):
            await sent(box, "boss@example.com")
    assert not isinstance(wholly.value, PartlyRefused) and "boss" not in str(wholly.value)


async def test_a_server_that_is_not_there_may_come_back() -> None:
    async with mail_listening() as box:
        pass
    with pytest.raises(TransientError, match="could not be reached"):
        await sent(box)


@pytest.mark.parametrize(
    "url", ["https://mail.example", "smtp://", "mail.example:25", "smtps://m.example?tls=none", "smtp://m.example/x"]
)
def test_an_address_that_is_no_mail_servers_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ValidationError):
        Settings(smtp_url=url)


def test_without_a_server_or_a_sender_there_is_no_e_mail() -> None:
    for settings in (
        Settings(smtp_url="smtp://m.example"),
        Settings(smtp_from="hub@example.com"),
        Settings(smtp_url=""),
    ):
        with pytest.raises(HubError, match="HUB_SMTP_URL and HUB_SMTP_FROM"):
            mail.mail_server(settings)

"""NATS: the members of an audience are the entries of a bucket; against a real server, which comes as a package."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import nats
import nkeys
import pytest
from pydantic import ValidationError

from connectors.nats import Nats, NatsConfig, bucket, session
from connectors.nats.bucket import outcome
from hub.sdk import (
    Audience,
    AuthError,
    Batch,
    EgressDenied,
    EgressPolicy,
    Http,
    Outcome,
    OutcomeKind,
    Person,
    Result,
    TransientError,
)
from hub.sdk.testing import ConnectorContract
from hub.sdk.testing.http_contract import error_of
from tests.clockwork import let_pass
from tests.connectors.nats_accounts import credentials, server_of_accounts
from tests.connectors.nats_server import NAME, PASSWORD, Entries, RealNats, nats_server
from tests.connectors.through_the_hub import ThroughTheHub
from tests.services.shop import until

VIP = Audience("V I P", "vip")
ANN, BOB = Person("ann", "ann", {"email": "ann@example.com", "tags": ["a"]}), Person("bob", "bob")
CROWD = [Person(str(number), str(number)) for number in range(600)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNats]:
    with nats_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def entries(server: RealNats) -> Entries:
    return Entries(server)


class TestNats(ThroughTheHub, ConnectorContract):
    connector = Nats
    fields = {"first_name": "Annabella-Private"}  # noqa: RUF012
    refuses_people = False

    @pytest.fixture(autouse=True)
    def _served(self, entries: Entries) -> None:
        self.entries, self.config = entries, entries.config()  # type: ignore[misc]

    def make_vendor(self) -> Entries:
        return self.entries


def connected(entries: Entries, **config: Any) -> Nats:
    return Nats(NatsConfig(**entries.config(**config)), Http(EgressPolicy(entries.listens)))


async def listed(connector: Nats) -> set[str]:
    return {key async for key in connector.members(VIP)}


async def test_the_entries_of_a_batch(entries: Entries) -> None:
    result = await connected(entries).apply(VIP, Batch([ANN], [BOB], sync="vip-to-nats", run="7"))
    assert result == Result()
    now = entries.now()
    value = {"audience": "V I P", "id": "ann", "member": True, "fields": {"email": "ann@example.com", "tags": ["a"]}}
    assert json.loads(now["vip.ann"][0]) == value and now["vip.bob"][0] == b""
    about = {"audience": "V I P", "sync": "vip-to-nats", "run": "7"}
    assert now["vip.ann"][1].items() >= about.items()
    assert now["vip.bob"][1].items() >= {**about, "KV-Operation": "PURGE"}.items()


async def test_nothing_is_logged_where_nothing_is_wrong(entries: Entries, caplog: pytest.LogCaptureFixture) -> None:
    """The library and asyncio would tell of each connection's end, and of people."""
    connector = connected(entries)
    await connector.apply(VIP, Batch([ANN], [BOB], run="7"))
    assert await listed(connector) == {"ann"} and not caplog.records


async def test_a_remove_leaves_nothing_of_what_was_there_in_any_history(server: RealNats) -> None:
    entries = Entries(server, history=10)
    for number in range(3):
        await connected(entries).apply(VIP, Batch([Person("ann", "ann", {"n": number})], run=str(number)))
    count = lambda: entries.does(lambda stream: stream.stream_info(f"KV_{entries.bucket}")).state.messages  # noqa: E731
    assert count() == 3
    await connected(entries).apply(VIP, Batch(remove=[ANN], run="9"))
    assert count() == 1 and entries.now()["vip.ann"][0] == b""
    await connected(entries).erase([ANN])
    assert count() == 0


async def test_an_erasure_leaves_nothing_in_any_audience_and_nothing_of_anybody_else_out(entries: Entries) -> None:
    connector = connected(entries, identifier="email")
    ann, other = Person("x", "ann@example.com"), Person("y", "joann@example.com")
    for name in ("vip", "lapsed"):
        await connector.apply(Audience(name, name), Batch([ann, other], run="7"))
    await connector.erase([Person("x", "ann@example.com")])
    assert entries.now().keys() == {"vip.joann=40example=2Ecom", "lapsed.joann=40example=2Ecom"}


@pytest.mark.parametrize(
    ("key", "written"),
    [
        ("+4915112345678", "vip.=2B4915112345678"),
        ("ann.lee@example.com", "vip.ann=2Elee=40example=2Ecom"),
        ("a=2Eb*>", "vip.a=3D2Eb=2A=3E"),
        ("müller 7%", "vip.m=C3=BCller=207=25"),
    ],
)
async def test_whoever_is_named_by_what_a_key_cannot_hold_is_written_otherwise_and_read_back_as_they_were(
    entries: Entries, key: str, written: str
) -> None:
    connector = connected(entries)
    assert await connector.apply(VIP, Batch([Person("x", key)], run="7")) == Result()
    assert list(entries.now()) == [written] and await listed(connector) == {key}
    await connector.apply(VIP, Batch(remove=[Person("x", key)], run="8"))
    assert await listed(connector) == set()


async def test_an_audience_s_name_cannot_forge_a_header(entries: Entries) -> None:
    await connected(entries).apply(Audience("V\r\nrun: 666\r\n\x00", "vip"), Batch([ANN], run="7"))
    assert entries.now()["vip.ann"][1]["run"] == "7"


async def test_only_those_of_the_audience_who_are_in_now_are_read_back(entries: Entries) -> None:
    connector = connected(entries)
    await connector.apply(Audience("vip2", "vip2"), Batch([Person("cem", "cem")], run="6"))
    await connector.apply(VIP, Batch([ANN, *CROWD], [BOB], run="7"))
    await connector.apply(VIP, Batch([], CROWD[1:], run="8"))
    assert await listed(connector) == {"ann", "0"}


async def test_who_does_not_fit_is_rejected_and_the_others_are_kept(server: RealNats) -> None:
    """What is larger than the bucket takes, the server refuses; over more than it takes at all it would hang up."""
    entries = Entries(server, max_value_size=5000)
    people = [ANN, *(Person(name, name, {"story": "x" * size}) for name, size in
                     (("cem", 6000), ("dan", 99_900), ("eve", 200_000))), BOB]  # fmt: skip
    people += [Person("fay", "f" * 3400), Person("gus", "+" * 1400)]
    result = await connected(entries).apply(VIP, Batch(people, run="7"))
    assert result.outcomes == {
        "cem": Outcome(OutcomeKind.REJECTED, "the entry is larger than the bucket takes"),
        "dan": Outcome(OutcomeKind.REJECTED, "the entry is larger than the server takes"),
        "eve": Outcome(OutcomeKind.REJECTED, "the entry is larger than the server takes"),
        "+" * 1400: Outcome(OutcomeKind.REJECTED, "the key would be too long"),
    }
    assert entries.now().keys() == {"vip.ann", "vip.bob", f"vip.{'f' * 3400}"}


async def test_whoever_finds_the_bucket_full_is_sent_again(server: RealNats) -> None:
    entries = Entries(server, max_bytes=3000)
    crowd = [Person(str(number), str(number), {"story": "x" * 500}) for number in range(10)]
    told = (await connected(entries).apply(VIP, Batch(crowd, run="7"))).outcomes
    assert 0 < len(told) < 10 and set(told.values()) == {Outcome(OutcomeKind.RETRY, "the bucket is full")}
    assert len(entries.now()) == 10 - len(told)


async def test_without_the_bucket_the_destination_pauses_and_says_what_to_make(entries: Entries) -> None:
    for call in (lambda one: one.check(), lambda one: one.apply(VIP, Batch([ANN], run="7")), listed):
        error = await error_of(lambda: call(connected(entries, bucket="elsewhere")))  # noqa: B023
        assert isinstance(error, AuthError) and "there is no bucket elsewhere" in error.reason


def what_is_denied_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server denies beside the answer, which then never comes."""
    note = bucket.Heard.note

    async def noted(self: bucket.Heard, error: Exception) -> None:
        before = self.denials
        await note(self, error)
        if self.denials > before == 0:
            let_pass(bucket.ANSWER_S)

    monkeypatch.setattr(bucket.Heard, "note", noted)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"password": "wr0ng-password"}, "does not let this user in"),
        ({"username": None, "password": None}, "does not let this user in"),
        ({"username": None, "password": None, "token": "wr0ng-token"}, "does not let this user in"),
        ({"ca": None}, "not trusted"),
        ({"username": "stranger"}, "may not do what is needed"),
        ({"username": "looker"}, "may not write to the bucket"),
    ],
)
async def test_whoever_is_not_let_in_is_told_why(
    entries: Entries, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any], why: str
) -> None:
    what_is_denied_is_not_waited_for(monkeypatch)
    with pytest.raises(AuthError, match=why) as told:
        await connected(entries, **wrong).apply(VIP, Batch([ANN, *CROWD], [BOB], run="7"))
    assert PASSWORD not in str(told.value) and "wr0ng" not in str(told.value)
    assert not entries.now()


async def test_a_user_with_the_least_rights_that_the_page_names_can_do_all_of_it(
    server: RealNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What it may not do, it would be refused without an answer.
    monkeypatch.setattr(bucket, "ANSWER_S", 60.0)
    monkeypatch.setattr(session, "ANSWER_S", 60.0)
    entries = Entries(server, "least")
    connector = connected(entries, username="least")
    assert await connector.apply(VIP, Batch([ANN, BOB], run="7")) == Result()
    await connector.apply(VIP, Batch([], [BOB], run="8"))
    assert await listed(connector) == {"ann"}
    await connector.erase([ANN, BOB])
    assert not entries.now()


async def test_a_user_who_may_not_read_back_is_told_so(entries: Entries, monkeypatch: pytest.MonkeyPatch) -> None:
    what_is_denied_is_not_waited_for(monkeypatch)
    error = await error_of(lambda: listed(connected(entries, username="looker")))
    assert isinstance(error, AuthError) and "see the scopes" in error.reason


async def test_a_user_is_let_in_by_credentials_which_are_never_said(tmp_path: Path) -> None:
    """Only a signature by the seed is: so even plaintext gives nothing away."""
    with server_of_accounts(tmp_path) as (at, own):
        config = {"security": "plaintext", "credentials": own}
        (tmp_path / "own.creds").write_text(own)
        client = await nats.connect(f"nats://{at}", user_credentials=str(tmp_path / "own.creds"), connect_timeout=60)
        await client.jetstream(timeout=60).create_key_value(bucket="audiences")
        await client.close()
        assert await to(at, **config).apply(VIP, Batch([ANN], run="7")) == Result()
        assert await listed(to(at, **config)) == {"ann"}
        stranger = credentials(nkeys.from_seed(nkeys.encode_seed(b"x" * 32, nkeys.PREFIX_BYTE_ACCOUNT)))
        error = await error_of(to(at, **{**config, "credentials": stranger}).check)
        assert isinstance(error, AuthError) and "does not let this user in" in error.reason


@asynccontextmanager
async def saying(*said: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Somebody who says this, one thing after each that is heard, and what was heard."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.CancelledError):
            for one in said:
                writer.write(one)
                heard.append(await reader.read(10_000))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}", heard


def to(at: str, **config: Any) -> Nats:
    return Nats(NatsConfig(servers=[at], **config), Http(EgressPolicy(frozenset({at}))))


async def test_a_server_that_asks_for_no_tls_is_told_nothing() -> None:
    """Or somebody between, who says in its place that it asks for none."""
    async with saying(b'INFO {"server_id":"x","max_payload":1000,"auth_required":true}\r\n') as (at, heard):
        error = await error_of(to(at, username="hub", password=PASSWORD).check)
        assert isinstance(error, AuthError) and "does not ask for TLS" in error.reason
    assert not b"".join(heard)


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"INFO {\r\n", b"INFO []\r\n", b"x" * 1_000_000, b"+OK\r\n"]
)
async def test_something_else_that_listens_there_was_not_sent_to(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "ANSWER_S", 0.5)
    async with saying(said) as (at, heard):
        error = await error_of(lambda: to(at, security="plaintext").apply(VIP, Batch([ANN], run="7")))
    assert isinstance(error, TransientError) and not error.sent
    assert b"ann" not in b"".join(heard)


async def test_nobody_there_was_not_sent_to() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        error = await error_of(to(f"127.0.0.1:{nobody.getsockname()[1]}").check)
    assert isinstance(error, TransientError) and not error.sent


async def test_servers_are_tried_one_after_the_other_and_no_other_that_they_lead_to(entries: Entries) -> None:
    elsewhere = b'INFO {"server_id":"x","max_payload":1000,"connect_urls":["127.0.0.1:%d"]}\r\n' % entries.server.port
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = f"127.0.0.1:{nobody.getsockname()[1]}"
        config = NatsConfig(**entries.config(servers=[away, entries.server.at]))
        assert entries.bucket in (await Nats(config, Http(EgressPolicy(entries.listens | {away}))).check()).label
    async with saying(elsewhere) as (at, _):
        error = await error_of(to(at, security="plaintext", bucket=entries.bucket).check)
    assert isinstance(error, TransientError) and not error.sent


class Between:
    """Passes on what is said to the server, until it is told to hang up or to be silent."""

    def __init__(self, port: int) -> None:
        self.port, self.deaf = port, False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self.port)
        back = asyncio.create_task(self._pass(from_server, writer))
        while data := await reader.read(65_536):
            to_server.write(data)
        to_server.close()
        await back

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if not self.deaf:
                writer.write(data)
        writer.close()


async def test_what_was_not_answered_is_unknown_and_no_more_is_sent_then(
    entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "ANSWER_S", 0.5)
    between = Between(entries.server.port)
    ask = bucket.Bucket.kept

    async def unheard(self: bucket.Bucket, told: Any) -> Any:
        between.deaf = True
        return await ask(self, told)

    monkeypatch.setattr(bucket.Bucket, "kept", unheard)
    async with await asyncio.start_server(between.serve, "127.0.0.1", 0) as listening:
        at = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        connector = Nats(NatsConfig(**entries.config(servers=[at])), Http(EgressPolicy(frozenset({at}))))
        told = (await connector.apply(VIP, Batch(CROWD, [BOB], run="7"))).outcomes
    kinds = {f"vip.{key}": one.kind for key, one in told.items()}
    assert len(kinds) == 601 and set(kinds.values()) == {OutcomeKind.UNKNOWN, OutcomeKind.RETRY}
    unknown = {key for key, kind in kinds.items() if kind is OutcomeKind.UNKNOWN}
    await until(lambda: entries.now().keys() == unknown)


async def test_what_was_not_sent_is_sent_again(entries: Entries, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = bucket.Bucket.kept

    async def cut_off(self: bucket.Bucket, told: Any) -> Any:
        await self.client.close()
        return await ask(self, told)

    monkeypatch.setattr(bucket.Bucket, "kept", cut_off)
    told = (await connected(entries).apply(VIP, Batch([ANN], [BOB], run="7"))).outcomes
    assert {key: one.kind for key, one in told.items()} == dict.fromkeys(("ann", "bob"), OutcomeKind.RETRY)
    assert not entries.now()


@pytest.mark.parametrize(
    ("code", "kind"), [(10054, OutcomeKind.REJECTED), (10077, OutcomeKind.RETRY), (10060, OutcomeKind.RETRY)]
)
def test_an_error_of_the_server_says_that_nothing_was_kept(code: int, kind: OutcomeKind) -> None:
    assert outcome(code).kind is kind and outcome(code).reason


async def test_a_name_leads_where_the_egress_policy_says(entries: Entries) -> None:
    async def found(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.1"]

    asked: list[tuple[str, int]] = []
    at = f"{NAME}:{entries.server.port}"
    connector = Nats(NatsConfig(**entries.config(servers=[at])), Http(EgressPolicy(frozenset({at}), found)))
    assert await connector.apply(VIP, Batch([ANN], run="7")) == Result()
    assert asked == [(NAME, entries.server.port)] and entries.members(VIP) == {"ann"}


async def test_a_server_that_the_operator_has_not_listed_is_not_dialled(entries: Entries) -> None:
    connector = Nats(NatsConfig(**entries.config()), Http(EgressPolicy(frozenset({"other.example.com:4222"}))))
    for call in (connector.check, lambda: connector.apply(VIP, Batch([ANN], run="7"))):
        with pytest.raises(EgressDenied, match=f"port {entries.server.port} may not be reached"):
            await call()


CREDENTIALS = (
    "-----BEGIN NATS USER JWT-----\neyJ0.eyJ.x-_y\n------END NATS USER JWT------\n\nA comment\n"
    f"-----BEGIN USER NKEY SEED-----\nSU{'A' * 56}\n------END USER NKEY SEED------\n"
)


@pytest.mark.parametrize(
    "wrong",
    [
        {"servers": []},
        {"servers": ["nats.example.com"]},
        {"servers": ["nats://nats.example.com:4222"]},
        {"bucket": "with.dot"},
        {"username": "u"},
        {"password": "p"},
        {"username": "u", "password": "p", "token": "t"},
        {"token": "t", "credentials": CREDENTIALS},
        {"token": "t", "security": "plaintext"},
        {"username": "u", "password": "p", "security": "plaintext"},
        {"credentials": "eyJ0"},
        {"credentials": CREDENTIALS.replace("SUA", "SAA")},
        {"ca": "no certificate"},
        {"batch": 0},
    ],
)
def test_a_wrong_configuration_is_refused(wrong: dict[str, Any]) -> None:
    good = {"servers": ["nats.example.com:4222"]}
    NatsConfig.model_validate(good)
    NatsConfig.model_validate({**good, "security": "plaintext", "credentials": CREDENTIALS.replace("\n", "\r\n")})
    with pytest.raises(ValidationError):
        NatsConfig.model_validate({**good, **wrong})

"""The egress policy: rows B31 to B36 of the reliability catalogue, and a configuration's own words."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, SecretStr

from hub.errors import ErrorCode, HubError
from hub.sdk.config import ConnectorConfig, Url, secret_fields, urls
from hub.sdk.egress import EgressDenied, EgressPolicy
from hub.sdk.errors import AuthError, TransientError

NOT_PUBLIC = """
https://127.0.0.1/ https://0.0.0.0/ https://[::1]/ https://[::]/ https://[::ffff:127.0.0.1]/ https://[::ffff:7f00:1]/
https://169.254.169.254/latest/meta-data https://[fd00::1]/ https://[fe80::1]/ https://[fe80::1%25eth0]/
https://100.64.0.1/ https://10.0.0.1/ https://172.16.0.1/ https://192.168.1.1/ https://224.0.0.1/ https://255.255.255.255/
https://[64:ff9b::7f00:1]/ https://[2002:7f00:1::]/ https://[::127.0.0.1]/ https://192.0.2.1/ https://[2001:db8::1]/
https://2130706433/ https://0x7f000001/ https://0x7f.0.0.1/ https://0177.0.0.1/ https://127.1/ https://017700000001/
https://localhost/ https://LOCALHOST/ https://api.localhost/ https://printer.local/ https://metadata.google.internal/
https://intranet/ https://127.0.0.1./ https://localhost./ https://example.com./ https://[example.com]/ https://[127.0.0.1]/
""".split()

ILL_WRITTEN = [
    "https://user@example.com/",
    "https://user:password@example.com/",
    "https://example.com@127.0.0.1/",
    "https://example.com\\@127.0.0.1/",
    "https://exa mple.com/",
    "https://example.com/\r\nHost: inner",
    "https://example.com\t/",
    "https:///etc/passwd",
    "https:example.com",
    "//example.com/",
    "example.com",
    "",
    "https://",
    "https://:443/",
    "https://example.com:/",
    "https://example.com:443:80/",
    "https://example.com:99999999/",
    "https://exämple.com/",
    "https://①②⑦.0.0.1/",
    "https://１２７.0.0.1/",
    "https://127。0。0。1/",
    "https://exam%70le.com/",
    "https://-example.com/",
    "https://a..example.com/",
]

OTHER_SCHEMES = ["http://example.com/", "file:///etc/passwd", "gopher://example.com/", "ftp://example.com/",
                 "data:text/plain,hi",
                 "unix:///var/run/docker.sock", "http+unix://socket/", "ws://example.com/"]  # fmt: skip

OTHER_PORTS = ["https://example.com:22/", "https://example.com:6379/", "https://example.com:5432/",
               "https://example.com:80/", "https://example.com:8443/", "https://example.com:0/"]  # fmt: skip


@pytest.mark.parametrize("url", [*NOT_PUBLIC, *ILL_WRITTEN, *OTHER_SCHEMES, *OTHER_PORTS])
def test_only_plain_https_to_the_open_internet_is_allowed(url: str) -> None:
    with pytest.raises(EgressDenied) as denied:
        EgressPolicy().check_url(url)
    assert denied.value.code is ErrorCode.EGRESS_DENIED


@pytest.mark.parametrize(
    ("url", "spelled"),
    [
        ("https://api.example.com/v1?x=1", "https://api.example.com:443/v1?x=1"),
        ("HTTPS://API.Example.com", "https://api.example.com:443/"),
        ("https://example.com:443/a%2Fb", "https://example.com:443/a%2Fb"),
        ("https://example.com/path#fragment", "https://example.com:443/path"),
        ("https://example.com#@127.0.0.1/", "https://example.com:443/"),
        ("https://8.8.8.8/", "https://8.8.8.8:443/"),
        ("https://[2606:4700:4700::1111]/", "https://[2606:4700:4700::1111]:443/"),
        ("https://xn--exmple-cua.com/", "https://xn--exmple-cua.com:443/"),
    ],
)
def test_a_public_address_has_one_spelling_afterwards(url: str, spelled: str) -> None:
    assert EgressPolicy().check_url(url).url == spelled


def test_a_denial_is_for_the_caller_and_pauses_a_destination() -> None:
    with pytest.raises(HubError) as denied:
        EgressPolicy().check_url("https://127.0.0.1/secret-path?token=secret")
    assert isinstance(denied.value, AuthError)
    assert (
        denied.value.reason
        == "127.0.0.1 is a private address (the operator can list 127.0.0.1:443 in HUB_EGRESS_ALLOW)"
    )
    assert "secret" not in f"{denied.value!r} {denied.value.problems}"


def test_an_international_name_is_answered_with_its_ascii_form() -> None:
    with pytest.raises(EgressDenied) as denied:
        EgressPolicy().check_url("https://exämple.com/hook")
    assert denied.value.problems[0].suggestion == "write xn--exmple-cua.com"


def test_a_listed_host_and_port_opens_only_itself() -> None:
    policy = EgressPolicy(frozenset({"127.0.0.1:9000", "[::1]:9000", "Inner.Example:8080"}))
    for url in (
        "http://127.0.0.1:9000/x",
        "https://127.0.0.1:9000/",
        "http://[::1]:9000/",
        "http://inner.example:8080/",
    ):
        assert policy.check_url(url).listed
    for url in ("http://127.0.0.1:9001/", "http://127.0.0.2:9000/", "http://localhost:9000/", "https://127.0.0.1/",
                "http://inner.example/", "http://x.inner.example:8080/", "http://0x7f000001:9000/"):  # fmt: skip
        with pytest.raises(EgressDenied):
            policy.check_url(url)


def resolving_to(*addresses: str, allow: frozenset[str] = frozenset()) -> EgressPolicy:
    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    return EgressPolicy(allow, resolve)


async def test_every_address_of_a_name_must_be_public() -> None:
    public = resolving_to("93.184.215.14", "2606:4700:4700::1111")
    assert await public.addresses("example.com", 443) == ["93.184.215.14", "2606:4700:4700::1111"]
    for private in ("127.0.0.1", "10.0.0.1", "::1", "fd00::1", "fe80::1%eth0", "::ffff:10.0.0.1", "64:ff9b::a00:1"):
        with pytest.raises(EgressDenied):
            await resolving_to("93.184.215.14", private).addresses("example.com", 443)


async def test_a_name_that_leads_inside_is_denied_when_it_is_configured() -> None:
    with pytest.raises(EgressDenied):
        await resolving_to("10.0.0.1").admit("https://example.com/hook")
    listed = resolving_to("10.0.0.1", allow=frozenset({"example.com:443"}))
    assert (await listed.admit("https://example.com/hook")).listed


async def test_a_name_that_does_not_resolve_may_be_configured_and_was_certainly_not_sent_to() -> None:
    async def fails(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    policy = EgressPolicy(resolve=fails)
    assert (await policy.admit("https://example.com/hook")).host == "example.com"
    with pytest.raises(TransientError) as fault:
        await policy.addresses("example.com", 443)
    assert fault.value.sent is False


@given(st.integers(0, 2**32 - 1), st.sampled_from(["{}", "0x{:x}", "0{:o}"]))
def test_no_number_passes_for_a_host(number: int, form: str) -> None:
    with pytest.raises(EgressDenied):
        EgressPolicy().check_url(f"https://{form.format(number)}/")


@given(st.text(max_size=40))
def test_whatever_is_written_is_answered_or_denied(text: str) -> None:
    for url in (text, f"https://{text}", f"https://example.com/{text}"):
        try:
            endpoint = EgressPolicy().check_url(url)
        except EgressDenied:
            continue
        assert endpoint.port == 443 and endpoint.scheme == "https" and endpoint.url.isascii()


class Feed(ConnectorConfig):
    address: Url


class Config(ConnectorConfig):
    url: Url
    spare: Url | None = None
    more: tuple[Url, ...] = ()
    by_name: dict[str, Url] = Field(default_factory=dict)
    feed: Feed | None = None
    feeds: tuple[Feed, ...] = ()
    note: str = ""
    key: SecretStr = SecretStr("")
    headers: dict[str, SecretStr] = Field(default_factory=dict)


def test_every_address_in_a_configuration_is_found_by_its_type() -> None:
    config = Config(url="a", spare="b", more=("c",), by_name={"x": "d"}, feed=Feed(address="e"),
                    feeds=(Feed(address="f"),), note="https://not.an.address")  # fmt: skip
    assert dict(urls(config)) == {
        ("url",): "a",
        ("spare",): "b",
        ("more", "0"): "c",
        ("by_name", "x"): "d",
        ("feed", "address"): "e",
        ("feeds", "0", "address"): "f",
    }
    assert Config.model_json_schema()["properties"]["url"]["format"] == "uri"


def test_a_field_with_a_secret_anywhere_is_a_secret_field() -> None:
    assert secret_fields(Config) == {"key", "headers"}

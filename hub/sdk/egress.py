"""The one egress policy: which addresses the hub may speak to, asked alike at check, create and send.

Https to public addresses on port 443, and nothing else, unless the operator lists a `host:port`. An address is refused
rather than repaired: whoever reads the configuration sees exactly where the hub connects.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from hub.errors import ErrorCode, HubError, Problem
from hub.sdk.errors import AuthError, TransientError

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>[/?#].*)?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^\[\]:@]+)(?::(?P<port>[0-9]{1,5}))?")
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
# A last label that reads as a number makes browsers and C libraries take the host for an IPv4 address.
_NUMERIC = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)")
_LOCAL_NAMES = ("localhost", "local", "internal", "home.arpa", "test", "invalid")
_NAT64 = IPv6Network("64:ff9b::/96")


class EgressDenied(HubError, AuthError):  # noqa: N818 - it reads as what happened
    """The policy forbids this address. For a destination that means what a refused account means: pause and tell."""

    def __init__(self, message: str, suggestion: str | None = None) -> None:
        HubError.__init__(self, Problem(ErrorCode.EGRESS_DENIED, message, suggestion=suggestion))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URL that passed: `url` is its only spelling from here on. `listed` says the operator opened this host:port."""

    scheme: str
    host: str
    port: int
    rest: str
    listed: bool

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.rest}"


async def resolve_with_system(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """`allow` holds the operator's `host:port` pairs; only exactly these may be private or plain http."""

    allow: frozenset[str] = frozenset()
    resolve: Resolve = field(default=resolve_with_system, repr=False)

    def check_url(self, url: str) -> Endpoint:
        """What can be told from the URL alone; raises EgressDenied."""
        scheme, host, port, rest = _parts(url)
        if scheme != "https" and not self.lists(host, port):
            raise unlisted("only https addresses may be reached", host, port)
        return Endpoint(scheme, self.check_host(host, port), port, rest, self.lists(host, port))

    def check_host(self, host: str, port: int) -> str:
        """What can be told from a host and a port alone, whatever is spoken there; the host's only spelling from here
        on. Raises EgressDenied."""
        host = _host(host.lower())
        if self.lists(host, port):
            return host
        if port != 443:
            raise unlisted(f"port {port} may not be reached", host, port)
        _refuse_private_host(host, port)
        return host

    async def admit(self, url: str) -> Endpoint:
        """`check_url`, and where its name resolves now, the addresses too: for the moment of configuring. A name that
        does not resolve passes here, since every send asks again."""
        endpoint = self.check_url(url)
        await self._admit(endpoint.host, endpoint.port)
        return endpoint

    async def admit_host(self, host: str, port: int) -> None:
        """As `admit`, whatever is spoken there."""
        await self._admit(self.check_host(host, port), port)

    async def _admit(self, host: str, port: int) -> None:
        with suppress(TransientError):
            await self.addresses(host, port)

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Resolve once; every address must be public unless host:port is listed. Connect only to what this returns.
        Raises EgressDenied, or TransientError when the name does not resolve."""
        try:
            found = await self.resolve(host, port)
        except OSError:
            raise TransientError(f"{host} cannot be resolved", sent=False) from None
        if not found:
            raise TransientError(f"{host} has no address", sent=False)
        if not self.lists(host, port) and not all(is_public(ip_address(address)) for address in found):
            raise unlisted(f"{host} leads to a private address", host, port)
        return found

    def lists(self, host: str, port: int) -> bool:
        """Whether the operator opened exactly this host and port."""
        return _spelled(host, port) in {entry.lower() for entry in self.allow}


def _spelled(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def unlisted(why: str, host: str, port: int) -> EgressDenied:
    """Refused, but for the operator's leave, who is told what to write where."""
    return EgressDenied(f"{why} (the operator can list {_spelled(host, port)} in HUB_EGRESS_ALLOW)")


def is_public(address: Address) -> bool:
    """Whether an address belongs to the open internet, looking through every form that wraps an IPv4 address."""
    if isinstance(address, IPv6Address):
        wrapped = _wrapped(address)
        if wrapped is not None:
            return is_public(wrapped)
        if address.scope_id is not None:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _wrapped(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo


def _parts(url: str) -> tuple[str, str, int, str]:
    if not url.isascii() and (suggestion := _ascii_spelling(url)):
        raise EgressDenied("a host is written in its ASCII form", suggestion)
    if not url.isascii() or not url.isprintable() or set(url) & set(' \\"<>^`{|}'):
        raise EgressDenied("the address holds characters that do not belong in a URL")
    whole = _URL.fullmatch(url)
    authority = _AUTHORITY.fullmatch(whole["authority"]) if whole else None
    if whole is None or authority is None:
        raise EgressDenied("the address must read https://host/path, without a user name")
    scheme = whole["scheme"].lower()
    if scheme not in {"http", "https"}:
        raise EgressDenied("only https addresses may be reached")
    port = int(authority["port"] or (443 if scheme == "https" else 80))
    rest = (whole["rest"] or "").partition("#")[0]
    return scheme, _host(authority["host"].lower()), port, rest if rest.startswith("/") else f"/{rest}"


def _host(host: str) -> str:
    if host.startswith("["):
        return str(_literal(IPv6Address, host[1:-1]))
    if ":" in host:
        return str(_literal(IPv6Address, host))
    if _NUMERIC.fullmatch(host):
        return str(_literal(IPv4Address, host))
    if len(host) > 253 or not _NAME.fullmatch(host):
        raise EgressDenied("the host is not a plain name", "leave out a trailing dot")
    return host


def _literal(kind: type[IPv4Address] | type[IPv6Address], host: str) -> Address:
    try:
        return kind(host)
    except ValueError:
        raise EgressDenied("the host is not a plain name or a plainly written address") from None


def _refuse_private_host(host: str, port: int) -> None:
    if ":" in host or _NUMERIC.fullmatch(host):
        if not is_public(ip_address(host)):
            raise unlisted(f"{host} is a private address", host, port)
    elif "." not in host or any(f".{host}".endswith(f".{name}") for name in _LOCAL_NAMES):
        raise unlisted(f"{host} is a local name", host, port)


def _ascii_spelling(url: str) -> str | None:
    whole = _URL.fullmatch(url)
    if whole is None or whole["authority"].isascii():
        return None
    try:
        return f"write {whole['authority'].encode('idna').decode()}"
    except UnicodeError:
        return None

"""What an operator sets, from environment variables named `HUB_…`; every one has a safe default."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from hub.errors import ErrorCode, HubError, Problem

# Found in tutorials and example files: starting with one of these would only look protected.
KNOWN_SECRETS = frozenset({"admin", "changeme", "change-me", "example", "hub", "password", "secret", "test", "token"})
SHORTEST_TOKEN = 8
HOST = re.compile(r"(?!-)[a-z0-9_-]+(?<!-)(\.(?!-)[a-z0-9_-]+(?<!-))*")

Names = Annotated[frozenset[str], NoDecode]


class Settings(BaseSettings):
    """`HUB_DATA` is a directory; the two URLs default to files inside it."""

    # In files of settings, a value left empty is one left out.
    model_config = SettingsConfigDict(env_prefix="HUB_", env_ignore_empty=True, frozen=True, extra="ignore")

    data: Path = Field(Path("data"), description="Directory of the embedded stores, keys and run files.")
    database_url: str = Field("", description="Control plane: sqlite:///PATH or postgresql://…")
    warehouse_url: str = Field("", description="Data plane: duckdb:///PATH or postgresql://…")
    admin_token: SecretStr | None = Field(None, description="Bootstrap token of the admin; made at first start.")
    write_key: SecretStr | None = Field(None, description="Bootstrap key for the intake of events.")
    secret_key: SecretStr | None = Field(None, description="Seals secrets: 32 bytes, base64 or hex.")
    egress_allow: Names = Field(frozenset(), description="host:port pairs that may be private and plain http.")
    connectors: Names | None = Field(None, description="Allow-list of connectors; all installed by default.")
    memory_limit: str | None = Field(None, description="Memory limit of the engine, such as 4GB.")
    threads: int | None = Field(None, ge=1, description="Threads of the engine; all cores by default.")
    smtp_url: SecretStr | None = Field(
        None, description="Mail server for alerts: smtps:// or smtp://USER:PASSWORD@HOST."
    )
    smtp_from: str | None = Field(None, description="Sender of the hub's e-mail.")
    log_level: str = "info"

    @field_validator("egress_allow", mode="before")
    @classmethod
    def refuse_what_opens_nothing(cls, value: object) -> object:
        entries = [entry.strip() for entry in value.split(",")] if isinstance(value, str) else []
        places = [f"entry {place}" for place, entry in enumerate(entries, 1) if entry and not _names_a_port(entry)]
        if places:
            raise ValueError(
                f"{' and '.join(places)} cannot be used: write each as HOST:PORT, such as 10.0.0.5:8080 or "
                "[::1]:8080, without a scheme or a path"
            )
        return _split_at_commas(value) if isinstance(value, str) else value

    @field_validator("connectors", mode="before")
    @classmethod
    def allow_all_where_none_is_named(cls, value: object) -> object:
        return (_split_at_commas(value) or None) if isinstance(value, str) else value

    @field_validator("admin_token", "write_key", mode="after")
    @classmethod
    def refuse_guessable(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        text = value.get_secret_value()
        if len(text) < SHORTEST_TOKEN or text.strip().lower() in KNOWN_SECRETS or len(set(text)) < 4:
            raise ValueError("is too short or well known: use a long random value, or unset it and one is made")
        return value

    @field_validator("log_level", mode="after")
    @classmethod
    def refuse_other_levels(cls, value: str) -> str:
        if value.lower() not in {"debug", "info", "warning", "error"}:
            raise ValueError("must be debug, info, warning or error")
        return value

    @field_validator("smtp_url", mode="after")
    @classmethod
    def refuse_other_addresses(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if not _names_a_mail_server(value.get_secret_value()):
            raise ValueError(
                "must be smtps://USER:PASSWORD@HOST:PORT, or smtp:// for STARTTLS (?tls=none for a server without TLS)"
            )
        return value

    @field_validator("smtp_from", mode="after")
    @classmethod
    def refuse_no_address(cls, value: str | None) -> str | None:
        if value and not re.fullmatch(r"[!-;=?A-~]+@[a-zA-Z0-9.-]+", value):
            raise ValueError("must be a plain e-mail address, such as hub@example.com")
        return value or None

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{(self.data / 'hub.db').absolute()}"

    @property
    def warehouse(self) -> str:
        return self.warehouse_url or f"duckdb:///{(self.data / 'hub.duckdb').absolute()}"


def read_settings() -> Settings:
    """The settings of this process; HubError names each variable that cannot be used, never its value."""
    try:
        return Settings()
    except ValidationError as error:
        raise HubError(*(_problem(tuple(e["loc"]), e["msg"]) for e in error.errors(include_input=False))) from None


def _split_at_commas(value: str) -> frozenset[str]:
    return frozenset(part.strip() for part in value.split(",") if part.strip())


def _names_a_mail_server(address: str) -> bool:
    try:
        url = urlsplit(address)
        asked = {"smtps": {""}, "smtp": {"", "tls=none"}}.get(url.scheme, set())
        return url.query in asked and bool(url.hostname) and url.path in {"", "/"} and url.port != 0
    except ValueError:
        return False


def _names_a_port(entry: str) -> bool:
    """Whether this is a host and a port, spelled as the egress policy looks for them."""
    try:
        asked = urlsplit(f"//{entry.lower()}")
        host, port = asked.hostname or "", asked.port
        if ":" in host:
            spelled = f"[{IPv6Address(host)}]"
        elif host.rpartition(".")[2].isdecimal():
            spelled = str(IPv4Address(host))
        else:
            spelled = host if HOST.fullmatch(host) else ""
    except ValueError:
        return False
    return bool(spelled and port) and entry.lower() == f"{spelled}:{port}"


def _problem(location: tuple[int | str, ...], message: str) -> Problem:
    variable = "HUB_" + str(location[0]).upper()
    return Problem(ErrorCode.INVALID, f"{variable} {message.removeprefix('Value error, ')}.", (variable,))

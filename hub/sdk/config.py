"""What a configuration's annotations say: which fields are addresses, and which are secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretBytes, SecretStr
from pydantic.fields import FieldInfo
from pydantic.json_schema import WithJsonSchema


class _UrlMark:
    """Stands in the annotation of every address that the hub will connect to."""


URL_MARK = _UrlMark()
Url = Annotated[str, URL_MARK, WithJsonSchema({"type": "string", "format": "uri"})]
"""An address the hub connects to: the egress policy is asked about it when it is configured and at every send."""


def _fit_for_an_address(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[A-Za-z0-9_-]{16,200}", secret.get_secret_value()):
        raise ValueError("must be 16 to 200 letters, digits, dashes and underscores")
    return secret


WebhookSecret = Annotated[SecretStr, AfterValidator(_fit_for_an_address)]
"""A secret that the admin makes up for a vendor who signs nothing (`insist_secret`); it can be part of an address."""


class Server(NamedTuple):
    """A server, and the path of the field that names it: the egress policy is asked about it when it is configured,
    and by `dialled` whenever it is dialled."""

    path: tuple[str, ...]
    host: str
    port: int


class ConnectorConfig(BaseModel):
    """A configuration whose misspelt fields are refused and whose values stay as they were given."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    def dials(self) -> Iterable[Server]:
        """Every server that is dialled by its host and port, of which no `Url` tells."""
        return ()


def secret_fields(config: type[BaseModel]) -> frozenset[str]:
    """The top-level fields to seal: those with a secret anywhere in their type."""
    return frozenset(name for name, field in config.model_fields.items() if _mentions_secret(field.annotation))


def urls(config: BaseModel) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every address in a configuration, with its path, however deep: `(("feed", "url"), "https://…")`."""
    for name, field in type(config).model_fields.items():
        for path, url in _urls_in(_annotation(field), getattr(config, name)):
            yield (name, *path), url


def _annotation(field: FieldInfo) -> Any:
    # pydantic moves the metadata of `Annotated` off the annotation; put the mark back where the walk looks for it.
    return Annotated[field.annotation, URL_MARK] if URL_MARK in field.metadata else field.annotation


def _urls_in(annotation: Any, value: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    if value is None:
        return
    if isinstance(value, BaseModel):
        yield from urls(value)
    elif isinstance(value, str):
        if _is_url(annotation):
            yield (), value
    elif isinstance(value, Mapping):
        yield from _urls_in_items(annotation, value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from _urls_in_items(annotation, enumerate(value))


def _urls_in_items(annotation: Any, items: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    for key, item in items:
        for path, url in _urls_in(annotation, item):
            yield (str(key), *path), url


def _is_url(annotation: Any) -> bool:
    """Whether the mark stands anywhere in the type: a text inside a marked union or list counts as an address."""
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        return URL_MARK in marks or _is_url(inner)
    return any(_is_url(part) for part in get_args(annotation))


def _mentions_secret(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, SecretStr | SecretBytes):
        return True
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return bool(secret_fields(annotation))
    origin = get_origin(annotation)
    nested = origin in {Annotated, Union, UnionType} or origin is not None
    return nested and any(_mentions_secret(part) for part in get_args(annotation))

"""Destinations: a connector set up with one account, checked, rested and taken away.

The configuration is the connector's own model; its secrets are sealed apart and never come back out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hub.core.records import Destination
from hub.core.slug import key_problems, name_problems
from hub.errors import ErrorCode, HubError, Problem, nearest, refuse
from hub.plugins import ConnectorClass
from hub.sdk.config import ConnectorConfig, secret_fields, urls
from hub.sdk.egress import EgressDenied
from hub.sdk.errors import AuthError, ConnectorError
from hub.services.asking import asked, type_of
from hub.services.hub import Hub
from hub.services.vendors import Vendors

CHECK_S = 30.0


async def create(
    hub: Hub, key: str, name: str, connector: str, config: Any, *, feedback_purposes: Sequence[str] = ()
) -> Destination:
    """A new destination; nothing is sent yet. `feedback_purposes` are what its vendor's unsubscribes are about; none
    means those of its syncs.

    HubError NOT_FOUND for the connector or a purpose, INVALID for key, name or a field of `config`, EGRESS_DENIED for
    an address that the hub may not reach, UNSUPPORTED for purposes of a vendor that tells nothing, CONFLICT for a taken
    key.
    """
    found = _connector(hub, connector)
    problems = [*key_problems(key), *name_problems(name), *await _purpose_problems(hub, found, feedback_purposes)]
    if problems:
        raise HubError(*problems)
    if await hub.store.destinations.get(key):
        raise refuse(ErrorCode.CONFLICT, f"There is a destination “{key}” already: choose another key.", "input", "key")
    given = {name: value for name, value in _object(config).items() if value is not None}
    await _admit(hub, found, given)
    plain, secrets = _parted(found, given)
    about: dict[str, Any] = {"key": key, "name": name.strip(), "connector": connector}
    return await hub.store.destinations.create(
        **about, config=plain, secrets=secrets, feedback_purposes=feedback_purposes
    )


async def update(
    hub: Hub,
    key: str,
    *,
    name: str | None = None,
    config: Any = None,
    feedback_purposes: Sequence[str] | None = None,
    if_version: int | None = None,
) -> Destination:
    """Change what is given. `config` merges by key: what it leaves out stays, secrets too, and null clears.

    HubError NOT_FOUND, CONFLICT when the destination is not at `if_version`, else as `create`.
    """
    destination = await hub.store.destinations.need(key)
    if name is not None and (problems := name_problems(name)):
        raise HubError(*problems)
    changes: dict[str, Any] = {} if name is None else {"name": name.strip()}
    if feedback_purposes is not None:
        connector = _connector(hub, destination.connector)
        if problems := await _purpose_problems(hub, connector, feedback_purposes):
            raise HubError(*problems)
        changes["feedback_purposes"] = list(feedback_purposes)
    if config is not None:
        changes |= await _merged(hub, destination, _object(config))
    return await hub.store.destinations.update(destination.id, if_version=if_version, **changes)


async def check(hub: Hub, key: str) -> Destination:
    """Prove that the credentials work, without changing anything at the vendor.

    HubError DESTINATION_AUTH when the vendor does not let us in, EGRESS_DENIED, or DESTINATION_UNREACHABLE.
    """
    destination = await hub.store.destinations.need(key)
    vendors = Vendors(hub)
    try:
        connector = await vendors.connect(destination)
        await asked(connector.check, CHECK_S)
    except EgressDenied as error:
        first = error.problems[0]
        said = f"The hub may not call the address of “{key}”: {first.message}."
        raise refuse(first.code, said, "key", suggestion=first.suggestion) from None
    except HubError:
        raise
    except AuthError as error:
        said = f"“{key}” does not let us in: {error.reason}. Correct the configuration."
        raise refuse(ErrorCode.DESTINATION_AUTH, said, "key") from None
    except ConnectorError as error:
        raise _unreachable(key, error.reason) from None
    except Exception as error:  # noqa: BLE001 - a stranger's code may raise anything
        raise _unreachable(key, f"the connector {destination.connector} failed ({type_of(error)})") from None
    finally:
        await vendors.close()
    return destination


async def pause(hub: Hub, key: str) -> Destination:
    """Send nothing there until `resume`; withdrawals wait too. HubError NOT_FOUND."""
    destination = await hub.store.destinations.need(key)
    return await hub.store.destinations.pause(destination.id)


async def resume(hub: Hub, key: str) -> Destination:
    """Take a destination up again; what has waited goes out. HubError NOT_FOUND."""
    destination = await hub.store.destinations.need(key)
    resumed = await hub.store.destinations.resume(destination.id)
    hub.signals.run_queued.set()
    hub.signals.consent_changed.set()
    return resumed


async def delete(hub: Hub, key: str) -> Destination:
    """HubError NOT_FOUND, or CONFLICT naming a sync that goes there."""
    destination = await hub.store.destinations.need(key)
    syncs = (await hub.store.syncs.of_destinations([destination.id]))[destination.id]
    if syncs:
        raise refuse(ErrorCode.CONFLICT, f"The sync “{syncs[0].key}” goes there: delete the sync first.", "key")
    if erasing := await hub.store.erasures.run_at(destination.id):
        await hub.store.runs.request_cancel(erasing.id, now=hub.clock.now())
    await hub.store.destinations.delete(destination.id)
    return destination


def _connector(hub: Hub, key: str) -> ConnectorClass:
    try:
        return hub.registry.find(key)
    except HubError as error:
        first = error.problems[0]
        raise refuse(first.code, first.message, "input", "connector", suggestion=first.suggestion) from None


async def _purpose_problems(hub: Hub, connector: ConnectorClass, purposes: Sequence[str]) -> list[Problem]:
    if purposes and not connector.capabilities.feedback:
        said = f"{connector.key} tells the hub nothing, so nobody unsubscribes there for any purpose: leave them out."
        return [Problem(ErrorCode.UNSUPPORTED, said, ("input", "feedbackPurposes"))]
    known = await hub.store.purposes.keys()
    unknown = [(place, purpose) for place, purpose in enumerate(purposes) if purpose not in known]
    return [
        Problem(
            ErrorCode.NOT_FOUND,
            f"There is no purpose “{purpose}”.",
            ("input", "feedbackPurposes", str(place)),
            suggestion=nearest(purpose, known),
        )
        for place, purpose in unknown
    ]


def _object(config: Any) -> dict[str, Any]:
    if isinstance(config, Mapping) and all(isinstance(name, str) for name in config):
        return dict(config)
    raise refuse(ErrorCode.INVALID, "The configuration must be an object of fields and values.", "input", "config")


async def _merged(hub: Hub, destination: Destination, given: dict[str, Any]) -> dict[str, Any]:
    """The changes that make this configuration of what is stored and what is given."""
    connector = _connector(hub, destination.connector)
    plain, secrets = _parted(connector, given)
    kept = {**destination.config, **plain}
    # Secrets that are all replaced need not be opened: so a lost key can be got over by setting them anew.
    stored = await _kept_secrets(hub, destination, connector, secrets)
    whole = {**kept, **stored, **secrets}
    await _admit(hub, connector, {name: value for name, value in whole.items() if value is not None})
    changes: dict[str, Any] = {"config": {name: value for name, value in kept.items() if value is not None}}
    return {**changes, "secrets": secrets} if secrets else changes


async def _kept_secrets(
    hub: Hub, destination: Destination, connector: ConnectorClass, replaced: Mapping[str, Any]
) -> dict[str, Any]:
    if secret_fields(connector.Config) <= replaced.keys():
        return {}
    return await hub.store.destinations.secrets(destination.id)


def _parted(connector: ConnectorClass, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    sealed = secret_fields(connector.Config)
    plain = {name: value for name, value in given.items() if name not in sealed}
    return plain, {name: value for name, value in given.items() if name in sealed}


async def _admit(hub: Hub, connector: ConnectorClass, config: Mapping[str, Any]) -> None:
    """Refuse a configuration that the connector cannot use, or that leads where the hub may not go."""
    read = _read(connector, config)
    for path, url in urls(read):
        with _told_of(path):
            await hub.egress.admit(url)
    for path, host, port in read.dials():
        with _told_of(path):
            await hub.egress.admit_host(host, port)


@contextmanager
def _told_of(path: tuple[str, ...]) -> Iterator[None]:
    """What the egress policy says against an address, said of the field that holds it."""
    try:
        yield
    except HubError as error:
        first = error.problems[0]
        said = f"{'.'.join(path)}: {first.message}."
        raise refuse(first.code, said, "input", "config", *path, suggestion=first.suggestion) from None


def _read(connector: ConnectorClass, config: Mapping[str, Any]) -> ConnectorConfig:
    try:
        return connector.Config.model_validate(dict(config))
    except ValidationError as error:
        faults = error.errors(include_input=False, include_context=False, include_url=False)
        raise HubError(*_problems(connector, faults)) from None


def _problems(connector: ConnectorClass, faults: list[ErrorDetails]) -> Iterator[Problem]:
    for fault in faults:
        path = tuple(str(part) for part in fault["loc"])
        field = ".".join(path) or "config"
        if fault["type"] == "extra_forbidden":
            said = f"{field}: the connector {connector.key} has no such field."
            meant = nearest(path[-1], connector.Config.model_fields) if len(path) == 1 else None
        else:
            said, meant = f"{field}: {fault['msg'].removeprefix('Value error, ').rstrip('.')}.", None
        yield Problem(ErrorCode.INVALID, said, ("input", "config", *path), suggestion=meant)


def _unreachable(key: str, reason: str) -> HubError:
    said = f"“{key}” could not be checked: {reason.rstrip('.')}."
    return refuse(ErrorCode.DESTINATION_UNREACHABLE, said, "key")

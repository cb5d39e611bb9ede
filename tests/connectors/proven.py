"""What the tests say of each connector: how many promises it keeps, and what its requests are held against."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from hub.sdk import Connector
from hub.sdk.testing import ConnectorContract, HttpConnectorContract
from hub.sdk.testing.jobs import JobsContract
from hub.sdk.testing.tokens import TokensContract
from tests.connectors.through_the_hub import ThroughTheHub

HERE = Path(__file__).parent
# How a test file says what its requests are held against: by what it uses from `descriptions` and its like.
DESCRIPTIONS = {
    "OpenApi3(": "OpenAPI 3",
    "Swagger2(": "Swagger 2.0",
    "Discovery(": "a discovery document",
    "Wsdl(": "a WSDL",
    "description(": "the vendor's specification",
}
PROMISES = [name for name, _ in inspect.getmembers(HttpConnectorContract) if name.startswith("test_")]

Contract = type[ConnectorContract]
TestClass = Contract | type[ThroughTheHub]


@dataclass(frozen=True, slots=True)
class Proof:
    """`kept` of the kit's `promises` apply to the connector, and CI is green."""

    kept: int
    promises: int
    through_the_hub: bool
    described_by: str


def proofs(connectors: Iterable[type[Connector[Any]]]) -> dict[str, Proof]:
    """By the connector's key. Every connector has its contract."""
    tested = list(_tested())
    return {kind.key: _proof([one for one in tested if one.connector is kind], kind) for kind in connectors}


def applies(contract: Contract, promise: str) -> bool:
    """Whether a promise is more than skipped, as its own first lines say."""
    asked = getattr(contract, promise, None)
    if asked is None:
        return False
    original = next(vars(kind)[promise] for kind in reversed(contract.__mro__) if promise in vars(kind))
    source, able = inspect.getsource(original), contract.connector.capabilities
    needs = re.findall(r'self\._skip_without\("(\w+)"\)', source)
    needs += ["feedback"] if "self._skip_without_feedback()" in source else []
    needs += ["jobs"] if original in vars(JobsContract).values() else []
    said = re.findall(r"if not self\.(signs_\w+):", source)
    said += ["refuses_people"] if "self._skip_where_nobody_is_refused()" in source else []
    given = ["refresh_token"] if original in vars(TokensContract).values() else []
    return (
        all(getattr(able, need) for need in needs)
        and all(getattr(contract, word) for word in said)
        and all(name in contract.config for name in given)
    )


def _tested() -> Iterator[TestClass]:
    for file in sorted(HERE.glob("test_*.py")):
        module = import_module(f"tests.connectors.{file.stem}")
        for _, found in inspect.getmembers(module, inspect.isclass):
            if issubclass(found, ConnectorContract | ThroughTheHub) and found.__module__ == module.__name__:
                yield found


def _proof(tested: Sequence[TestClass], kind: type[Connector[Any]]) -> Proof:
    contracts = [one for one in tested if issubclass(one, ConnectorContract)]
    assert contracts, f"no test class in tests/connectors holds {kind.key} to its promises"
    kept = {promise for contract in contracts for promise in PROMISES if applies(contract, promise)}
    sources = [inspect.getsource(sys.modules[one.__module__]) for one in tested]
    told = (name for use, name in DESCRIPTIONS.items() for source in sources if use in source)
    through = any(issubclass(one, ThroughTheHub) for one in tested)
    return Proof(len(kept), len(PROMISES), through, next(told, ""))

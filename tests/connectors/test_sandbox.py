"""The pretend vendor, which stands for every other in the demo and in the tests of the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from connectors.sandbox import Sandbox, SandboxConfig, forget, pretend_account
from hub.sdk import AuthError, Batch, Http, OutcomeKind, Person, RefusedError, TransientError, Workspace
from hub.sdk.contract import Audience
from hub.sdk.egress import EgressPolicy
from hub.sdk.testing import ConnectorContract, Vendor
from tests.connectors.through_the_hub import ThroughTheHub

VIP = Audience("vip", "vip")


class PretendVendor(Vendor):
    def members(self, audience: Audience) -> set[str]:
        return pretend_account("kit").members(audience.ref)

    def state(self) -> Any:
        return repr(pretend_account("kit"))


class TestSandbox(ThroughTheHub, ConnectorContract):
    connector = Sandbox
    config: ClassVar = {"account": "kit", "reject": ["kit-external-id-refused"]}
    fields: ClassVar = {"plan": "gold-plan"}

    def make_vendor(self) -> Vendor:
        forget("kit")
        return PretendVendor()


class TestSandboxWithJobs(TestSandbox):
    config: ClassVar = {**TestSandbox.config, "jobs": {"running": 2}}


@pytest.fixture(autouse=True)
def _fresh() -> None:
    forget("test")


def sandbox(folder: Path | None = None, **config: Any) -> Sandbox:
    return Sandbox(SandboxConfig(account="test", **config), Http(EgressPolicy()), Workspace(folder))


def batch(*names: str) -> Batch:
    return Batch(add=[Person(name, name, {"plan": "gold"}) for name in names], run="7")


@pytest.mark.parametrize(
    ("kind", "error", "applied"),
    [
        ("throttle", TransientError, False),
        ("transient", TransientError, False),
        ("unreachable", TransientError, False),
        ("auth", AuthError, False),
        ("refused", RefusedError, False),
        ("timeout_after_apply", TransientError, True),
    ],
)
async def test_the_scripted_call_fails_as_scripted_and_the_next_goes_through(
    kind: str, error: type[Exception], applied: bool
) -> None:
    connector = sandbox(failures=[{"call": 2, "kind": kind, "retry_after": 0.5}])
    await connector.apply(VIP, batch("ann"))
    with pytest.raises(error) as raised:
        await connector.apply(VIP, batch("bob"))
    assert ("bob" in pretend_account("test").members("vip")) is applied
    if isinstance(raised.value, TransientError):
        assert raised.value.sent is (kind != "unreachable")
        assert raised.value.retry_after == (0.5 if kind == "throttle" else None)
    await connector.apply(VIP, batch("cem"))
    assert "cem" in pretend_account("test").members("vip")


async def test_an_unknown_answer_has_been_carried_out_all_the_same() -> None:
    result = await sandbox(failures=[{"call": 1, "kind": "unknown"}]).apply(VIP, batch("ann"))
    assert result.rest is OutcomeKind.UNKNOWN and pretend_account("test").members("vip") == {"ann"}


async def test_the_block_list_suppresses() -> None:
    result = await sandbox(suppress=["ann"]).apply(VIP, batch("ann", "bob"))
    assert result.outcomes["ann"].kind is OutcomeKind.SUPPRESSED
    assert pretend_account("test").members("vip") == {"bob"}


async def test_a_locked_account_refuses_every_call() -> None:
    for call in (sandbox(locked=True).check(), sandbox(locked=True).apply(VIP, batch("ann"))):
        with pytest.raises(AuthError):
            await call


async def test_what_was_received_outlives_the_process(tmp_path: Path) -> None:
    config: ClassVar = {"state_file": "kept/sandbox.ndjson", "failures": [{"call": 3, "kind": "throttle"}]}
    first = sandbox(tmp_path, **config)
    await first.apply(VIP, batch("ann", "bob"))
    await first.apply(VIP, Batch(remove=[Person("ann", "ann")], run="8"))
    forget("test")  # as if the process had died
    with (tmp_path / "kept/sandbox.ndjson").open("ab") as journal:
        journal.write(b'{"call": 3, "cut sho')
    second = sandbox(tmp_path, **config)
    assert {key async for key in second.members(VIP)} == {"bob"}
    with pytest.raises(TransientError):
        await second.apply(VIP, batch("cem"))
    assert [call["run"] for call in second.account.calls] == ["7", "8", "7"]
    forget("test")
    assert len(sandbox(tmp_path, **config).account.calls) == 3


async def test_the_identifier_and_the_limits_come_from_the_configuration() -> None:
    limits = sandbox(identifier="email", batch=7, concurrency=2).limits()
    assert (limits.key, limits.batch, limits.concurrency) == ("email", 7, 2)

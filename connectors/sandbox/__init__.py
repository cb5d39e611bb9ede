"""A pretend vendor in memory: it fails when told to and shows what it holds. For the demo, for tests, for trying out.

from connectors.sandbox import pretend_account
pretend_account("shop").members("vip")
"""

from hub.sdk import hookimpl

from .account import PretendAccount, PretendJob, forget, pretend_account
from .config import SandboxConfig
from .connector import Sandbox

__all__ = [
    "PretendAccount",
    "PretendJob",
    "Sandbox",
    "SandboxConfig",
    "forget",
    "hub_connectors",
    "pretend_account",
]


@hookimpl
def hub_connectors() -> list[type[Sandbox]]:
    return [Sandbox]

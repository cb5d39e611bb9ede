"""The Trade Desk, first-party data: an audience is a targeting data element of one advertiser."""

from hub.sdk import hookimpl

from .config import TradeDeskConfig
from .connector import TradeDesk

__all__ = ["TradeDesk", "TradeDeskConfig", "hub_connectors"]


@hookimpl
def hub_connectors() -> list[type[TradeDesk]]:
    return [TradeDesk]

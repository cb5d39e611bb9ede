"""The conformance kit: inherit the class, give it your connector and a fake of its vendor, and run pytest.

    class TestAcme(HttpConnectorContract):
        connector = Acme
        config = {"token": "t-secret-1234", "url": "https://api.acme.example"}

        def make_vendor(self) -> FakeAcme:
            return FakeAcme()

Every promise is one test. Needs `pip install audience-hub[testing]`.
"""

import pytest

# So that a promise that fails shows the values it compared.
pytest.register_assert_rewrite("hub.sdk.testing.contract", "hub.sdk.testing.http_contract")

from hub.sdk.testing.contract import ConnectorContract  # noqa: E402
from hub.sdk.testing.http_contract import HttpConnectorContract  # noqa: E402
from hub.sdk.testing.stage import Stage  # noqa: E402
from hub.sdk.testing.vendor import HttpVendor, Vendor, json_body  # noqa: E402
from hub.sdk.testing.wire import Wire  # noqa: E402

__all__ = ["ConnectorContract", "HttpConnectorContract", "HttpVendor", "Stage", "Vendor", "Wire", "json_body"]

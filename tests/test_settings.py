"""What an operator sets is used as meant, or refused at the start with the variable's name."""

from __future__ import annotations

import pytest

from hub.errors import ErrorCode, HubError
from hub.sdk.egress import EgressPolicy
from hub.settings import Settings, read_settings


def test_listed_hosts_and_ports_are_opened_however_the_list_is_spaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_EGRESS_ALLOW", " Shop.internal:8080, 10.0.0.5:1,[::1]:65535 ,mq_1:443,")
    policy = EgressPolicy(read_settings().egress_allow)
    opened = (("shop.internal", 8080), ("10.0.0.5", 1), ("::1", 65535), ("mq_1", 443))
    assert all(policy.lists(host, port) for host, port in opened)


def test_a_list_left_empty_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_EGRESS_ALLOW", " ")
    assert read_settings().egress_allow == frozenset()


@pytest.mark.parametrize(
    "entry",
    [
        *("shop.internal", "shop.internal:", ":8080", "shop.internal:0", "shop.internal:65536", "shop.internal:http"),
        *("shop.internal:0443", "shop.internal:-1", "shop.internal :443", "a.example:443 b.example:443", "a\tb:443"),
        *("https://a.example", "http://a.example:80", "a.example:443/", "a.example:443?x", "ann@a.example:443"),
        *("*.a.example:443", "a.example.:443", "bücher.example:443", "10.0.0:443", "10.0.0.256:443", "10.0.0.0/8:443"),
        *("::1:443", "[::1]", "[::1", "[0:0:0:0:0:0:0:1]:443", "[10.0.0.5]:443", "[]:443"),
    ],
)
def test_an_entry_that_could_open_nothing_is_refused_by_its_place(monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    monkeypatch.setenv("HUB_EGRESS_ALLOW", f"10.0.0.5:8080,{entry}")
    with pytest.raises(HubError, match="entry 2 ") as refused:
        read_settings()
    (problem,) = refused.value.problems
    assert (problem.code, problem.path) == (ErrorCode.INVALID, ("HUB_EGRESS_ALLOW",))


def test_every_entry_that_could_open_nothing_is_named_and_none_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_EGRESS_ALLOW", "https://ann:pass4word@a.example:443,,b.example:443,c.example")
    with pytest.raises(HubError) as refused:
        read_settings()
    assert str(refused.value) == (
        "HUB_EGRESS_ALLOW entry 1 and entry 4 cannot be used: write each as HOST:PORT, such as 10.0.0.5:8080 or "
        "[::1]:8080, without a scheme or a path."
    )


@pytest.mark.parametrize("empty", ["", " ", ","])
def test_an_empty_list_of_connectors_is_the_same_as_none_set(monkeypatch: pytest.MonkeyPatch, empty: str) -> None:
    monkeypatch.setenv("HUB_CONNECTORS", empty)
    assert read_settings().connectors is None


def test_a_list_of_connectors_allows_these(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_CONNECTORS", "webhook, s3,")
    assert read_settings().connectors == {"webhook", "s3"}


def test_a_setting_left_empty_is_one_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(f"HUB_{name.upper()}", "")
    assert read_settings() == Settings.model_construct()

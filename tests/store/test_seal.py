"""The seal: opens only what it sealed, only where it was put, and only with a key that nobody could guess."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from hub.errors import ErrorCode, HubError
from hub.settings import Settings
from hub.store.seal import Keyring, open_keyring, read_key, read_key_file

KEY = bytes.fromhex("9d1f5cb27a3be04c88e6123fd45a7790be3c61f2047de85b96a1c8f30b2d4e57")
PLACE = ("destination", "shop", "api_key")


@pytest.mark.parametrize("value", ["k-123", "", {"user": "ü", "n": [1, None]}, 7])
def test_what_was_sealed_opens_in_its_place(value: object) -> None:
    keys = Keyring.of(KEY)
    assert keys.open(keys.seal(value, PLACE), PLACE) == value


def test_the_same_value_never_looks_the_same() -> None:
    keys = Keyring.of(KEY)
    assert keys.seal("k", PLACE) != keys.seal("k", PLACE)


@pytest.mark.parametrize("place", [("sync", *PLACE[1:]), ("destination", "shop2", "api_key"), (*PLACE[:2], "other")])
def test_a_sealed_value_opens_nowhere_else(place: tuple[str, str, str]) -> None:
    keys = Keyring.of(KEY)
    with pytest.raises(HubError) as refused:
        keys.open(keys.seal("k-123", PLACE), place)
    assert refused.value.code is ErrorCode.FORBIDDEN


def test_a_change_of_any_byte_is_noticed() -> None:
    keys = Keyring.of(KEY)
    raw = base64.b64decode(keys.seal("k-123", PLACE))
    for position in range(len(raw)):
        changed = bytes(byte ^ (index == position) for index, byte in enumerate(raw))
        with pytest.raises(HubError):
            keys.open(base64.b64encode(changed).decode(), PLACE)


@pytest.mark.parametrize("cut", [0, 1, 5, 17, 20])
def test_a_value_cut_short_is_refused(cut: int) -> None:
    keys = Keyring.of(KEY)
    raw = base64.b64decode(keys.seal("k-123", PLACE))[:cut]
    with pytest.raises(HubError):
        keys.open(base64.b64encode(raw).decode(), PLACE)


def test_another_key_says_that_it_is_another_key() -> None:
    sealed = Keyring.of(KEY).seal("k-123", PLACE)
    with pytest.raises(HubError, match="another key"):
        Keyring.of(KEY[::-1]).open(sealed, PLACE)


def test_what_is_derived_depends_on_the_key_alone_and_differs_by_use() -> None:
    one, same, other = Keyring.of(KEY), Keyring.of(KEY), Keyring.of(KEY[::-1])
    assert one.pepper == same.pepper
    assert one.pepper != other.pepper
    assert len(one.pepper.text) == 22


def test_a_keyring_shows_nothing_of_itself() -> None:
    keys = Keyring.of(KEY)
    shown = f"{keys!r} {keys}"
    assert keys.pepper.text not in shown
    assert KEY.hex() not in shown


@pytest.mark.parametrize("text", [KEY.hex(), KEY.hex().upper(), base64.b64encode(KEY).decode(), f" {KEY.hex()}\n"])
def test_a_key_is_hex_or_base64(text: str) -> None:
    assert read_key(text) == KEY


def test_a_key_in_base64_may_be_of_the_url_kind_without_padding() -> None:
    assert read_key(base64.urlsafe_b64encode(KEY).decode().rstrip("=")) == KEY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        KEY.hex()[:-2],
        KEY.hex() + "00",
        "00" * 32,
        "deadbeef" * 8,
        bytes(range(32)).hex(),
        bytes(range(255, 223, -1)).hex(),
        base64.b64encode(b"change-me-please-change-me-32byt").decode(),
        "ключ" * 8,
    ],
)
def test_a_key_that_is_short_or_can_be_guessed_is_refused_unquoted(text: str) -> None:
    with pytest.raises(HubError, match="openssl rand -hex 32") as refused:
        read_key(text)
    assert len(text) < 4 or text not in str(refused.value)


def test_the_first_start_makes_a_key_file_for_its_owner_alone(tmp_path: Path) -> None:
    made = read_key_file(tmp_path / "secret.key")
    assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600
    assert read_key_file(tmp_path / "secret.key") == made
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    read_key_file(tmp_path / "secret.key")
    (tmp_path / "secret.key").chmod(mode)
    with pytest.raises(HubError, match="chmod 600"):
        read_key_file(tmp_path / "secret.key")


def test_the_variable_comes_before_the_file(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, secret_key=SecretStr(KEY.hex()))
    assert open_keyring(settings).pepper == Keyring.of(KEY).pepper
    assert list(tmp_path.iterdir()) == []
    assert open_keyring(Settings(data=tmp_path, secret_key=None)).pepper != Keyring.of(KEY).pepper

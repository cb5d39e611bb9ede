"""Opening the hub: what must fit together before anything is read or written."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.errors import ErrorCode, HubError
from hub.services.hub import open_hub
from tests.services.opened import TestClock, opened


async def test_a_data_plane_is_not_opened_under_another_secret_key(tmp_path: Path) -> None:
    async with opened(tmp_path / "data", TestClock()) as hub:
        settings, key = hub.settings, tmp_path / "data" / "secret.key"
    kept = key.read_text()
    key.unlink()
    with pytest.raises(HubError, match="another secret key") as refused:
        async with open_hub(settings):
            pass
    assert (refused.value.code, refused.value.problems[0].path) == (ErrorCode.FORBIDDEN, ("HUB_SECRET_KEY",))
    key.write_text(kept)
    async with opened(tmp_path / "data", TestClock()):
        """The right key opens it again."""

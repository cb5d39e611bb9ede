"""A connector that brings its own way out of the hub."""

import httpx  # noqa: F401
from acme_audiences import Acme  # type: ignore[import-not-found]


class BringsItsOwnClient(Acme):  # type: ignore[misc]
    pass

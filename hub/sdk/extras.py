"""Client libraries that only one connector needs: they come with an extra of the package."""

from __future__ import annotations

from importlib.util import find_spec


def insist_installed(library: str, extra: str) -> None:
    """For the top of a connector's module, so that without its library it is disabled and says what to install. The
    library itself is best imported where it is used first: many take longer to import than the whole hub."""
    if find_spec(library) is None:
        raise ImportError(f"needs {library}: pip install '{extra}'")

"""Where a connector may keep files: one folder that the operator gave, and nothing outside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hub.errors import ErrorCode, refuse


@dataclass(frozen=True, slots=True)
class Workspace:
    """`root` is the operator's folder; None where files are not allowed at all."""

    root: Path | None

    def folder(self, *parts: str) -> Path:
        """The folder of those relative parts, made if missing; raises POLICY where it would lie outside the root."""
        folder = self.path(*parts)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def path(self, *parts: str) -> Path:
        """The path of those relative parts; raises POLICY where it would lie outside the root, also through a link."""
        if self.root is None:
            raise refuse(ErrorCode.POLICY, "this hub gives connectors no folder to write to")
        if any(_leads_out(part) for part in parts):
            raise refuse(ErrorCode.POLICY, "a folder must be relative and stay below the hub's own")
        root = self.root.resolve()
        whole = root.joinpath(*parts).resolve()
        if not whole.is_relative_to(root):
            raise refuse(ErrorCode.POLICY, "a folder must be relative and stay below the hub's own")
        return whole


def _leads_out(part: str) -> bool:
    pure = PurePosixPath(part)
    return pure.is_absolute() or ".." in pure.parts or "\x00" in part or "\\" in part


NOWHERE = Workspace(None)

"""Whether a disk has room left, and keeps what it is given."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from hub.errors import StoreError

# So much that it does not fit into what a full disk has left of its last blocks.
ENOUGH = 65_536
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def try_room(folder: Path) -> None:
    """Write a little there for good, in a file without a name. Raises StoreError if that cannot be done."""
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            left = memoryview(bytes(ENOUGH))
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
    except OSError as error:
        kind = errno.errorcode.get(error.errno or 0, "OSError")
        raise StoreError(f"The disk failed ({kind}).", full=error.errno in NO_ROOM) from None

"""Files that can be read to their end: devices never end, and pipes and sockets wait for whoever writes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

SPECIAL = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def special_file(path: Path) -> str | None:
    """What a path leads to that is neither a regular file nor a folder, in words; None for these and for nothing."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None
    return next((word for is_it, word in SPECIAL if is_it(mode)), None)

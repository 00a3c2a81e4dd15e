"""Where compiled programs are kept between runs: a folder that nobody else can write to."""

from __future__ import annotations

import os
import stat
import tempfile
from functools import cache
from pathlib import Path


def compiler_cache() -> Path:
    """The folder that TORCHINDUCTOR_CACHE_DIR names, else one in the user's cache folder, else a temporary one."""
    named = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    if named:
        return Path(named)
    user = user_cache()
    return temporary_cache() if user is None else user / "structflow" / "inductor"


def user_cache() -> Path | None:
    """XDG_CACHE_HOME, else `.cache` in the home directory; None where there is no home or it can't be written to."""
    named = os.environ.get("XDG_CACHE_HOME")
    try:
        folder = Path(named) if named else Path.home() / ".cache"
    except RuntimeError:  # neither HOME nor an entry in the list of users, as in many containers
        return None
    existing = next((parent for parent in (folder, *folder.parents) if parent.exists()), None)
    return folder if existing is not None and os.access(existing, os.W_OK | os.X_OK) else None


@cache
def temporary_cache() -> Path:
    """A folder of this user alone, in the one for temporary files.

    Its contents are loaded as code. So if somebody else made a folder of this name, one with an unpredictable name is
    used instead; its programs last as long as the folder for temporary files.
    """
    user = str(os.getuid()) if hasattr(os, "getuid") else ""
    folder = Path(tempfile.gettempdir()) / f"structflow-inductor-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return Path(tempfile.mkdtemp(prefix="structflow-inductor-"))
    ours = stat.S_ISDIR(found.st_mode) and (not user or found.st_uid == int(user)) and not found.st_mode & 0o022
    return folder if ours else Path(tempfile.mkdtemp(prefix="structflow-inductor-"))

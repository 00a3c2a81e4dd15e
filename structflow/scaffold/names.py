"""The name of a new package and what follows from it."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from dataclasses import dataclass

from ..errors import CallError

DISTRIBUTION = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?", re.IGNORECASE)
"""What a distribution may be called (Python packaging user guide, "Names and normalization")."""

MOST_CHARACTERS = 64
OWN = "structflow"


@dataclass(frozen=True)
class PackageName:
    """A distribution's name, the module that it installs, and the prefix of the types of its plugins.

    `structflow-rivers` installs `structflow_rivers`, and its types begin with `rivers_`.
    """

    distribution: str

    def __post_init__(self) -> None:
        """Raises `CallError` for a name that can't be used."""
        name = self.distribution
        if not DISTRIBUTION.fullmatch(name) or len(name) > MOST_CHARACTERS:
            raise self._refused(
                f"expected letters, digits, '-', '_' and '.', at most {MOST_CHARACTERS}, a letter or digit at both ends"
            )
        if not self.module.isidentifier() or keyword.iskeyword(self.module):
            raise self._refused(f"its module would be {self.module}, which Python can't import; begin with a letter")
        if self.module in (OWN, "tests", *sys.stdlib_module_names) or is_importable(self.module):
            raise self._refused(f"a module {self.module} is there already; choose another name")

    def _refused(self, reason: str) -> CallError:
        return CallError(f"{self.distribution!r} can't name a package: {reason}")

    @property
    def module(self) -> str:
        """The name with `_` for `-` and `.`, in lower case."""
        return re.sub(r"[-_.]+", "_", self.distribution).lower()

    @property
    def prefix(self) -> str:
        """The module without a leading `structflow_`."""
        return self.module.removeprefix(f"{OWN}_")


def is_importable(module: str) -> bool:
    """Whether some installed file provides the module; a mere folder of that name doesn't count."""
    found = importlib.util.find_spec(module)
    return found is not None and found.origin is not None

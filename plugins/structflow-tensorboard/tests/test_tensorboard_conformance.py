"""structflow's conformance kit over everything that this package registers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from structflow.testing import conformance


@pytest.mark.parametrize("check", conformance("structflow-tensorboard"))
def test_conformance(check: Callable[[], None]) -> None:
    check()

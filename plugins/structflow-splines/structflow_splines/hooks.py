"""Registers the basis functions of this package."""

from __future__ import annotations

from collections.abc import Iterable

from structflow.plugins import BasisFunction, hookimpl

from .b_spline import BSpline
from .fourier import Fourier
from .radial import Radial
from .rational import Rational


@hookimpl
def basis_functions() -> Iterable[type[BasisFunction]]:
    return [BSpline, Fourier, Radial, Rational]

"""Registers the basis functions of this package."""

from __future__ import annotations

from collections.abc import Iterable

from structflow.plugins import BasisFunction, hookimpl

from .convolution import Convolution
from .dilated_convolution import DilatedConvolution
from .heads import FlatLinear, PooledLinear
from .pooling import AveragePool, MaxPool
from .separable_convolution import SeparableConvolution


@hookimpl
def basis_functions() -> Iterable[type[BasisFunction]]:
    return [AveragePool, Convolution, DilatedConvolution, FlatLinear, MaxPool, PooledLinear, SeparableConvolution]

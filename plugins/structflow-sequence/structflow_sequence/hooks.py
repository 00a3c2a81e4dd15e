"""Registers what this package adds to structflow."""

from __future__ import annotations

from collections.abc import Iterable

from structflow.plugins import BasisFunction, DataSource, hookimpl

from .attention import Attention
from .autoregression import Autoregression
from .gru import GatedRecurrentUnit
from .lstm import LongShortTermMemory
from .statsmodels_series import StatsmodelsSeries
from .temporal_convolution import TemporalConvolution


@hookimpl
def basis_functions() -> Iterable[type[BasisFunction]]:
    """The maps of series."""
    return [Attention, Autoregression, GatedRecurrentUnit, LongShortTermMemory, TemporalConvolution]


@hookimpl
def data_sources() -> Iterable[type[DataSource]]:
    """The series of statsmodels, cut into windows."""
    return [StatsmodelsSeries]

"""Plugins of structflow-five: `sharp`, `cauchy`, `hannan_quinn`, `adagrad` and `error_quantile`."""

from structflow.plugins import hookimpl

from structflow_five.adagrad import Adagrad
from structflow_five.cauchy import Cauchy
from structflow_five.error_quantile import ErrorQuantile
from structflow_five.hannan_quinn import HannanQuinn
from structflow_five.sharp import Sharp


@hookimpl
def weight_posteriors():
    return [Sharp]


@hookimpl
def weight_priors():
    return [Cauchy]


@hookimpl
def criteria():
    return [HannanQuinn]


@hookimpl
def inner_optimizers():
    return [Adagrad]


@hookimpl
def metrics():
    return [ErrorQuantile]

"""Plugins of structflow-stranger: `ridge_wavelet`, `student_t` and `sign_direct`."""

from structflow.plugins import hookimpl

from structflow_stranger.hypergradient import SignDirect
from structflow_stranger.likelihood import StudentT
from structflow_stranger.wavelet import RidgeWavelet


@hookimpl
def basis_functions():
    return [RidgeWavelet]


@hookimpl
def likelihoods():
    return [StudentT]


@hookimpl
def hypergradients():
    return [SignDirect]

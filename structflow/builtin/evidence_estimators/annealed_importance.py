"""Annealed importance sampling."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ...plugins import Estimate, EvidenceEstimator, Options, TrainedMembers
from .annealed_path import AnnealedPath

if TYPE_CHECKING:
    from torch import Tensor

CHUNK_NUMBERS = 8_000_000
"""Numbers of one node's values that are held at a time: it bounds memory, never what is computed."""

STEEPNESS = 4.0
"""δ of the sigmoidal schedule."""

POWER = 4.0
"""Of the schedule `power`."""

MOST_PILOTS = 16
"""Chains that find the step sizes."""

PILOT_EVERY = 4
"""Temperatures from one look at the acceptance to the next."""

FIRST_STEP = 0.4
"""ε before any look; 2 is where leapfrog steps become unstable in one dimension of width 1."""

LEAST_STEP, MOST_STEP = 1e-4, 1.5
"""Limits of ε."""

WANTED_ACCEPTANCE = 0.8
"""Where Hamiltonian Monte Carlo is about as fast as it gets (Neal 2011)."""

LEAST_EFFECTIVE = 2.0
"""Effective sample size of the chains' weights from which the jackknife is an error."""

NORMAL_TAIL = 0.970
"""Standard deviations of a normal from its 75 % to its 95 % quantile."""

ADAPTATION = 1.0
"""log ε moves by so much of how far the acceptance is from what is wanted."""


class AnnealedImportanceOptions(Options):
    """Keys of the estimator `ais`."""

    model_config = Options.model_config | {"populate_by_name": True}

    start: Literal["prior", "posterior"] = Field(
        "prior", alias="from", description="Where chains start: the prior, which finds all modes, or q."
    )
    temperatures: int = Field(400, ge=2, le=1_000_000, description="Distributions between the start and p(y, w).")
    schedule: Literal["sigmoid", "power"] = Field(
        "sigmoid", description="How they are spaced: β a sigmoid of the number of the step, or its fourth power."
    )
    chains: int = Field(64, ge=2, le=10_000, description="Independent runs, whose weights are averaged.")
    leapfrogs: int = Field(3, ge=1, le=1_000, description="Leapfrog steps of a transition, one at every temperature.")


class AnnealedImportance(EvidenceEstimator):
    """log (1/C) Σ_c Π_t e^{(β_t − β_{t−1}) g(w_{t−1}^c)}, chains w that move from a base to the posterior. Neal (2001).

    The mean over chains of the weights is unbiased for the evidence, so its logarithm is a lower bound in expectation,
    which closes as temperatures are added. From the prior all modes count; from q (`from: posterior`) fewer
    temperatures do, but chains seldom leave the mode of q. Transitions are Hamiltonian Monte Carlo, their step sizes
    tuned for every member and temperature by 16 separate chains. Slow: (leapfrogs + 1) × temperatures gradients of
    every chain. The standard error is the jackknife's over chains, and there is none where few chains carry the weight;
    a mode that all chains missed doesn't show in it.
    """

    type = "ais"
    Options = AnnealedImportanceOptions
    of_weights = True
    needs_density = False
    needs_normal_prior = True

    @staticmethod
    def cost(options: AnnealedImportanceOptions, weights: int, samples: int) -> float:
        return 3.0 * (options.chains + MOST_PILOTS) * options.temperatures * (options.leapfrogs + 1)

    @staticmethod
    def estimate(options: AnnealedImportanceOptions, trained: TrainedMembers, samples: int) -> Estimate:
        """The log of the mean weight; `samples` is ignored. Raises `CallError` from a point."""
        import torch

        path = AnnealedPath(trained.weights, options.start == "posterior")
        vectors = trained.weights
        members, size = vectors.used.shape
        chunk = max(1, CHUNK_NUMBERS // (members * max(size, vectors.rows * vectors.widest)))
        betas = schedule(options)
        with torch.no_grad():
            steps = step_sizes(path, betas, options.leapfrogs, min(MOST_PILOTS, chunk))
            parts = [
                anneal(path, betas, options.leapfrogs, min(chunk, options.chains - first), first, steps)
                for first in range(0, options.chains, chunk)
            ]
            return of_log_weights(torch.cat(parts, dim=1))


def schedule(options: AnnealedImportanceOptions) -> list[float]:
    """β_0 = 0 … β_T = 1. Grosse et al. (2013) for the sigmoid, Friel and Pettitt (2008) for the power."""
    shares = [number / options.temperatures for number in range(options.temperatures + 1)]
    if options.schedule == "power":
        return [share**POWER for share in shares]
    raw = [1 / (1 + math.exp(-STEEPNESS * (2 * share - 1))) for share in shares]
    return [(value - raw[0]) / (raw[-1] - raw[0]) for value in raw]


def step_sizes(path: AnnealedPath, betas: list[float], leapfrogs: int, chains: int) -> list[Tensor]:
    """ε (M,) of every transition, from chains that pass every fourth temperature and look at their acceptance."""
    import torch

    w = path.draws(chains, "ais/pilot/start", 0)
    step = torch.full_like(w[:, 0, 0], FIRST_STEP)
    found = []
    for number in range(1, len(betas) - 1):
        if number % PILOT_EVERY == 1:
            move = path.move(w, betas[number], step, leapfrogs, f"ais/pilot/{number}", 0)
            w = move.w
            change = (ADAPTATION * (move.acceptance - WANTED_ACCEPTANCE)).exp()
            step = (step * change).clamp(LEAST_STEP, MOST_STEP)
        found.append(step)
    return found


def anneal(
    path: AnnealedPath, betas: list[float], leapfrogs: int, chains: int, first: int, steps: list[Tensor]
) -> Tensor:
    """The log weights (M, chains) of the chains numbered from `first`."""
    w = path.draws(chains, "ais/start", first)
    log_weights = betas[1] * path.terms(w)[1]
    for number, step in enumerate(steps, start=1):
        move = path.move(w, betas[number], step, leapfrogs, f"ais/{number}", first)
        w = move.w
        log_weights = log_weights + (betas[number + 1] - betas[number]) * move.ratio
    return log_weights


def of_log_weights(log_weights: Tensor) -> Estimate:
    """log of the mean weight of C chains, from log weights (M, C), and its jackknife standard error where it is known.

    It is unknown where few chains carry the weight: their effective sample size (Σ w)² / Σ w² is below 2, or the upper
    tail of the log weights is spread like that of a normal with a deviation s above √log C. Weights whose logarithms
    are N(·, s²) have a relative variance of e^{s²} − 1, for which C chains are too few if s² > log C.
    """
    import torch

    chains = log_weights.shape[1]
    total = log_weights.logsumexp(1)
    share = (log_weights - total.unsqueeze(1)).exp()
    effective = 1 / share.square().sum(1)
    levels = torch.tensor([0.75, 0.95], dtype=share.dtype, device=share.device)
    lower, upper = torch.quantile(log_weights, levels, dim=1)
    spread = (upper - lower) / NORMAL_TAIL
    known = (effective >= LEAST_EFFECTIVE) & ~(spread.square() > math.log(chains))
    without = torch.log1p(-share.clamp(max=1 - 1e-12))
    error = ((without - without.mean(1, keepdim=True)).square().sum(1) * (chains - 1) / chains).sqrt()
    unsure = {
        number: f"one of {chains} chains has {largest:.0%} of the weight (effective sample size {size:.1f}), and log "
        f"weights have a spread of {width:.1f} nats: the estimate tends to be too low; raise temperatures, or chains"
        for number, (is_known, largest, size, width) in enumerate(
            zip(known.tolist(), share.amax(1).tolist(), effective.tolist(), spread.tolist(), strict=True)
        )
        if not is_known
    }
    return Estimate(total - math.log(chains), torch.where(known, error, torch.nan), unsure=unsure)

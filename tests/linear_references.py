"""Log evidence of linear models by numpy and scipy alone, in float64: what the results of runs are compared with.

For a Gaussian likelihood the evidence is log N(y; 0, ΦΦᵀ/A + σ²I), and the best mean-field bound is lower by
½ (Σ log Λ_ii − log |Λ|) with Λ = ΦᵀΦ/σ² + A. For other likelihoods the best normal q(w) is searched for by L-BFGS over
its mean and log standard deviations, with the expectation of a row, where f is normal, in closed form (Poisson) or by
quadrature over one variable.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, gammaln

NODES = np.linspace(-9, 9, 289)
NODE_WEIGHTS = np.exp(-0.5 * NODES**2) / np.exp(-0.5 * NODES**2).sum()

RowTerms = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""From means and variances of f (rows,): E log p(y_i | f_i), and its derivatives by mean and variance."""


def gaussian_bound(design: np.ndarray, y: np.ndarray, log_precision: float, log_noise: float, diagonal: bool) -> float:
    """log p(y), or the best bound of a diagonal q, by the singular values of Φ, since squares would lose small ones."""
    left, singular, right = np.linalg.svd(design * math.exp(-log_noise - 0.5 * log_precision), full_matrices=False)
    scaled = y * math.exp(-log_noise)
    along = left.T @ scaled
    rest = np.square(scaled - left @ along).sum()
    determinant = np.log1p(singular**2).sum()
    fit = rest + np.sum(along**2 / (1 + singular**2))
    value = -0.5 * (fit + determinant) - len(y) * (log_noise + 0.5 * math.log(2 * math.pi))
    if not diagonal:
        return float(value)
    return float(value - 0.5 * (np.log1p(np.square(singular[:, None] * right).sum(0)).sum() - determinant))


def best_gaussian_bound(
    design: np.ndarray, y: np.ndarray, diagonal: bool, log_precision: float | None, log_noise: float | None
) -> float:
    """The highest bound over what isn't given, by Nelder and Mead's method from a grid of starts."""
    if log_precision is not None and log_noise is not None:
        return gaussian_bound(design, y, log_precision, log_noise, diagonal)
    spread = math.log(math.sqrt(np.mean(y**2)) + 1e-300)
    squares = np.mean(design**2, axis=0)
    sizes = np.log(squares[squares > 0])
    noises = [spread - shift for shift in (0, 1, 3, 6, 10, 14)] if log_noise is None else [log_noise]
    points: list[list[float]] = []
    for noise in noises:
        free_noise = [noise] if log_noise is None else []
        if log_precision is not None:
            points.append(free_noise)
            continue
        for size in {float(sizes.max()), float(sizes.min())}:  # of which any may need the weak prior
            of_data = size - 2 * noise + math.log(len(y))
            points += [[of_data + shift, *free_noise] for shift in (-25, -15, -8, -2, 5)]

    def loss(free: np.ndarray) -> float:
        precision = log_precision if log_precision is not None else free[0]
        noise = log_noise if log_noise is not None else free[-1]
        if abs(precision) > 300 or abs(noise) > 150:
            return math.inf
        return -gaussian_bound(design, y, precision, noise, diagonal)

    points.sort(key=lambda point: loss(np.array(point)))
    options = {"xatol": 1e-6, "fatol": 1e-6, "maxiter": 2000}
    return max(-float(minimize(loss, point, method="Nelder-Mead", options=options).fun) for point in points[:4])


def tempered_bound(
    design: np.ndarray, y: np.ndarray, log_precisions: np.ndarray, log_noise: float, diagonal: bool, c: float
) -> float:
    """max over q of E log p(y | w) − c KL(q ‖ N(0, A⁻¹)), with a log precision for every weight and a normal y.

    −½ yᵀK⁻¹y with K = σ² + ΦA⁻¹Φᵀ/c, by the singular values of ΦA^−½, and the spread of q costs c/2 Σ log(Λ_ii / A_i),
    or of a full covariance c/2 log |K/σ²|, with Λ = ΦᵀΦ/(cσ²) + A.
    """
    scaled = design * np.exp(-log_noise - 0.5 * log_precisions) / math.sqrt(c)
    left, singular, _ = np.linalg.svd(scaled, full_matrices=False)
    target = y * math.exp(-log_noise)
    along = left.T @ target
    fit = np.square(target - left @ along).sum() + np.sum(along**2 / (1 + singular**2))
    spread = np.log1p(np.square(scaled).sum(0) if diagonal else singular**2).sum()
    return float(-0.5 * (fit + c * spread) - len(y) * (log_noise + 0.5 * math.log(2 * math.pi)))


def best_tempered_bound(
    design: np.ndarray,
    y: np.ndarray,
    owner: np.ndarray,
    diagonal: bool,
    c: float = 1.0,
    log_noise: float | None = None,
    hyperprior: tuple[float, float] | None = None,
    starts: int = 9,
) -> float:
    """The highest `tempered_bound` + log p(h) over the precisions, of which weight i has number `owner` (n,), and over
    the noise where none is given: by L-BFGS from three even starts and others at random.

    The hyperprior is of variances, an inverse gamma distribution with a shape and a scale.
    """
    rng, count = np.random.default_rng(0), int(owner.max()) + 1
    noise = math.log(y.std()) - 1 if log_noise is None else log_noise
    squares = np.log(np.square(design).sum(0))
    of_data = np.array([squares[owner == number].mean() for number in range(count)]) - 2 * noise
    bounds = [(value - 45, value + 60) for value in of_data] + [(noise - 10, noise + 5)] * (log_noise is None)

    def loss(free: np.ndarray) -> float:
        own = free[:count]
        found = tempered_bound(design, y, own[owner], free[-1] if log_noise is None else log_noise, diagonal, c)
        if hyperprior is not None:
            shape, scale = hyperprior
            found += float((shape * (math.log(scale) + own) - gammaln(shape) - scale * np.exp(own)).sum())
        return -found

    values = []
    for number in range(starts):
        begin = of_data + [-6.0, -2.0, 1.0][number] if number < 3 else of_data + rng.normal(-3, 3, size=count)
        if hyperprior is not None and number % 3 == 2:
            begin = math.log(hyperprior[0] / hyperprior[1]) + rng.normal(size=count)
        free = [*begin, noise] if log_noise is None else begin
        options = {"ftol": 1e-14, "gtol": 1e-8, "maxiter": 3000, "maxfun": 50000}
        values.append(-float(minimize(loss, free, method="L-BFGS-B", bounds=bounds, options=options).fun))
    return max(values)


def best_poisson_bound_of_relevance(design: np.ndarray, y: np.ndarray, starts: int = 9) -> float:
    """The best bound of counts with a precision for every weight: each is then 1 / (μ² + α) for q = N(μ, α).

    What is left to search for is q, in Σ E log p − ½ Σ log(1 + μ²/α), by L-BFGS from several starts.
    """
    rng, squares, rows, count = np.random.default_rng(0), design**2, poisson_rows(y), design.shape[1]

    def loss(free: np.ndarray) -> tuple[float, np.ndarray]:
        with np.errstate(all="ignore"):
            mean, variance = free[:count], np.exp(2 * free[count:])
            value, by_mean, by_variance = rows(design @ mean, squares @ variance)
            total = mean**2 + variance
            bound = float(value.sum() - 0.5 * np.log(total / variance).sum())
            of_mean = design.T @ by_mean - mean / total
            of_log_sd = 2 * variance * (squares.T @ by_variance) + 1 - variance / total
        gradient = np.concatenate([of_mean, of_log_sd])
        finite = math.isfinite(bound) and bool(np.isfinite(gradient).all())
        return (-bound, -gradient) if finite else (1e300, np.zeros_like(free))

    size = 1 / np.sqrt(squares.sum(0))
    found = []
    for _ in range(starts):
        begin = np.concatenate([size * rng.normal(size=count), np.log(size) - 2 * rng.random(count)])
        units = np.concatenate([size, np.ones(count)])

        def scaled(free: np.ndarray, units: np.ndarray = units) -> tuple[float, np.ndarray]:
            value, slope = loss(units * free)
            return value, units * slope

        options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 5000, "maxfun": 20000}
        best = minimize(scaled, begin / units, jac=True, method="L-BFGS-B", options=options)
        found.append(-float(best.fun))
    return max(found)


def best_bound(design: np.ndarray, rows: RowTerms, log_precision: float | None) -> float:
    """The best bound of a diagonal q for any likelihood, and over the precision where none is given.

    Solutions follow the precision from one under which nothing is learned down to the wanted one, or to one under which
    nothing is penalised; then the best precision is searched for around the best of those.
    """
    norms = np.log(np.square(design).sum(0).clip(min=1e-300))
    values: dict[float, tuple[float, np.ndarray, np.ndarray]] = {}

    def solved(precision: float) -> float:
        near = min(values, key=lambda known: abs(known - precision), default=None)
        weights = design.shape[1]
        start = (np.zeros(weights), np.zeros(weights)) if near is None else values[near][1:]
        values[precision] = best_bound_at(design, rows, precision, *start, first=near is None)
        return -values[precision][0]

    highest = max(norms.max() + 25.0, log_precision if log_precision is not None else -math.inf)
    lowest = log_precision if log_precision is not None else norms.min() - 12.0
    path = np.linspace(highest, lowest, max(2, math.ceil((highest - lowest) / 2.0)))
    for precision in path:
        solved(float(precision))
    if log_precision is not None:
        return values[float(path[-1])][0]
    best = max(values, key=lambda known: values[known][0])
    minimize_scalar(solved, bounds=(best - 3, best + 3), method="bounded", options={"xatol": 1e-4})
    return max(value for value, *_ in values.values())


def bound_at(design: np.ndarray, rows: RowTerms, log_precision: float, mean: np.ndarray, log_sd: np.ndarray) -> float:
    """The bound of a diagonal q."""
    return bound_and_gradient(design, design**2, rows, log_precision, mean, log_sd)[0]


def bound_and_gradient(
    design: np.ndarray,
    squares: np.ndarray,
    rows: RowTerms,
    log_precision: float,
    mean: np.ndarray,
    log_sd: np.ndarray,
) -> tuple[float, np.ndarray, np.ndarray]:
    """Σ E log p(y_i | f_i) − KL of a diagonal q, and its gradient by means and log standard deviations."""
    precision, variance = math.exp(log_precision), np.exp(2 * log_sd)
    value, by_mean, by_variance = rows(design @ mean, squares @ variance)
    terms = precision * (variance + mean**2)
    total = float(value.sum() - 0.5 * (terms - 1 - log_precision - 2 * log_sd).sum())
    by_log_sd = 2 * variance * (squares.T @ by_variance) - precision * variance + 1
    return total, design.T @ by_mean - precision * mean, by_log_sd


def best_bound_at(
    design: np.ndarray, rows: RowTerms, log_precision: float, mean: np.ndarray, log_sd: np.ndarray, first: bool
) -> tuple[float, np.ndarray, np.ndarray]:
    """The best bound at one precision with its means and log standard deviations.

    By L-BFGS in units of 1/√H_ii, with H_ii the precision of weight i at the start, which are renewed a few times.
    """
    precision, squares = math.exp(log_precision), design**2
    if first:
        log_sd = np.full(len(mean), -0.5 * log_precision)

    def loss(vector: np.ndarray) -> tuple[float, np.ndarray]:
        with np.errstate(over="ignore", invalid="ignore"):
            total, by_mean, by_log_sd = bound_and_gradient(
                design, squares, rows, log_precision, mean + units * vector[: len(mean)], log_sd + vector[len(mean) :]
            )
        gradient = np.concatenate([units * by_mean, by_log_sd])
        if not np.isfinite(total) or not np.isfinite(gradient).all():
            return 1e300, np.zeros_like(vector)
        return -total, -gradient

    value = -math.inf
    for _ in range(20):
        _, _, by_variance = rows(design @ mean, squares @ np.exp(2 * log_sd))
        units = 1 / np.sqrt(precision + squares.T @ np.maximum(-2 * by_variance, 0))
        options = {"maxiter": 2000, "maxfun": 4000, "ftol": 1e-15, "gtol": 1e-9}
        found = minimize(loss, np.zeros(2 * len(mean)), jac=True, method="L-BFGS-B", options=options)
        mean, log_sd = mean + units * found.x[: len(mean)], log_sd + found.x[len(mean) :]
        gain, value = -float(found.fun) - value, -float(found.fun)
        if gain < 1e-7 * (1 + abs(value) * 1e-6):
            break
    return value, mean, log_sd


def poisson_rows(y: np.ndarray) -> RowTerms:
    """E [y f − e^f − log y!] = y m − e^{m + v/2} − log y!."""

    def terms(mean: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rate = np.exp(mean + 0.5 * variance)
        return y * mean - rate - gammaln(y + 1), y - rate, -0.5 * rate

    return terms


def bernoulli_rows(y: np.ndarray) -> RowTerms:
    """E [y f − log(1 + e^f)], with E σ(f) and E σ'(f) for the derivatives."""

    def terms(mean: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        f = mean[:, None] + np.sqrt(variance)[:, None] * NODES
        probability = expit(f)
        value = y * mean - np.logaddexp(0, f) @ NODE_WEIGHTS
        return value, y - probability @ NODE_WEIGHTS, -0.5 * (probability * (1 - probability)) @ NODE_WEIGHTS

    return terms

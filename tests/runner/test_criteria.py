"""The criteria from spec to ranking on models that are linear in their weights, against numpy.

Every expected number is computed here from the rows: least squares, ridge regression, normal densities.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import studies
from scipy.stats import norm

NOISE, PRECISION = 0.4, 2.0
LINEAR = [{"from": "x", "to": "y", "basis": [{"type": "linear"}]}]
"""Two inputs and a constant: three weights."""


def document(preset, noise=NOISE, precision=PRECISION, standardize=False, inner=None, **sections):
    given = {
        "data": {
            "source": "synthetic", "rows": 24, "inputs": 2, "formula": "3 + 2*x0 - x1 + 0.5*x0*x1", "noise": 0.3,
            "split": {"test": 0}, "standardize": {"inputs": False, "targets": standardize},
        },
        "model": {"likelihood": {"type": "gaussian", "noise": noise}, **studies.model(LINEAR)},
        "prior": {"weights": {"precision": precision}},
        "objective": {"preset": preset},
        "optimizer": {"inner": {"steps": 60, "lr": 0.002, **(inner or {})}, "restarts": 1},
        "compute": {"compile": False, "dtype": "float64"},
    }  # fmt: skip
    return studies.spec(**given | sections)


LEARNING = {"steps": 350, "lr": 0.05}
"""Enough to learn log σ from 1."""


class Rows:
    """Prepared rows of a run: Φ = (x, 1), y, and the scale that the target was divided by."""

    def __init__(self, dataset):
        self.dataset = dataset
        x, y = dataset.train()
        self.phi, self.y = np.column_stack([x, np.ones(len(x))]), y[:, 0]
        self.scale, self.shift = float(self.dataset.target_scale[0]), float(self.dataset.target_shift[0])

    @property
    def original(self) -> np.ndarray:
        return self.y * self.scale + self.shift


def score(run) -> float:
    (entry,) = run.ranking
    return entry["score"]


def ridge(phi, y, precision, sd, count=1.0):
    """argmax of count · log N(y; Φw, σ²) + log N(w; 0, 1/A)."""
    return np.linalg.solve(count * phi.T @ phi / sd**2 + precision * np.eye(phi.shape[1]), count * phi.T @ y / sd**2)


def log_joint(phi, y, w, precision, sd) -> float:
    return norm(phi @ w, sd).logpdf(y).sum() + norm(0, precision**-0.5).logpdf(w).sum()


def least_squares(phi, y) -> float:
    """The greatest log likelihood: −m/2 (log 2πσ̂² + 1), σ̂² the mean square of the residuals."""
    residual = y - phi @ np.linalg.lstsq(phi, y, rcond=None)[0]
    return -0.5 * len(y) * (math.log(2 * math.pi * np.mean(residual**2)) + 1)


@pytest.mark.parametrize("standardize", [False, True])
def test_maximum_likelihood_is_least_squares(tmp_path, standardize):
    """With σ learned; in the target's units whatever it was divided by."""
    run = studies.run(
        document("maximum_likelihood", "learned", standardize=standardize, inner=LEARNING), tmp_path / "run"
    )
    rows = Rows(run.context.study.dataset)
    assert (rows.scale != 1) == standardize
    assert score(run) == pytest.approx(least_squares(rows.phi, rows.original), abs=1e-4)
    assert run.ranking[0]["log_evidence"] is None
    assert run.summary["criterion"] == "maximum_likelihood"


@pytest.mark.parametrize(
    ("preset", "penalty", "noise"),
    [("aic", 1.0, "learned"), ("aic", 1.0, NOISE), ("bic", 0.5 * math.log(24), "learned")],
)
def test_information_criteria_of_a_point(tmp_path, preset, penalty, noise):
    """log p(y | ŵ) − k or − k/2 log m: three weights, and σ where it is learned."""
    point = {"weights": {"type": "point"}}
    run = studies.run(document(preset, noise, inner=LEARNING, posterior=point), tmp_path / "run")
    rows = Rows(run.context.study.dataset)
    if noise == "learned":
        expected = least_squares(rows.phi, rows.y) - 4 * penalty
    else:
        fit = rows.phi @ np.linalg.lstsq(rows.phi, rows.y, rcond=None)[0]
        expected = norm(fit, NOISE).logpdf(rows.y).sum() - 3 * penalty
    assert score(run) == pytest.approx(expected, abs=1e-4)


def test_an_information_criterion_counts_what_the_data_inform(tmp_path):
    """q normal, mean field: E log p(y | w) − k, k the weights with KL > threshold. Closed form for fixed σ and A.

    The best diagonal q has α = 1 / diag(ΦᵀΦ/σ² + A); the threshold is set between the KLs of the three weights.
    """
    probe = Rows(studies.study(document("aic")).dataset)
    posterior = probe.phi.T @ probe.phi / NOISE**2 + PRECISION * np.eye(3)
    mean, variance = ridge(probe.phi, probe.y, PRECISION, NOISE), 1 / np.diag(posterior)
    kl = 0.5 * (PRECISION * (mean**2 + variance) - 1 - np.log(PRECISION * variance))
    least, middle, _ = sorted(kl)
    threshold = float((least + middle) / 2)
    spread = (probe.phi**2 @ variance).sum() / (2 * NOISE**2)
    expected = norm(probe.phi @ mean, NOISE).logpdf(probe.y).sum() - spread - 2
    run = studies.run(document("aic", objective={"preset": "aic", "threshold": threshold}), tmp_path / "run")
    assert score(run) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("standardize", "c_reg"), [(False, 1.0), (True, 3.0)])
def test_map_is_ridge_regression(tmp_path, standardize, c_reg):
    """w at the optimum of log p(y | w) + c_reg log p(w); the score is log p(y, w) with c = 1, in the target's units."""
    objective = {"preset": "map", "c_reg": c_reg}
    run = studies.run(document("map", standardize=standardize, objective=objective), tmp_path / "run")
    rows = Rows(run.context.study.dataset)
    sd = NOISE / rows.scale
    w = ridge(rows.phi, rows.y, c_reg * PRECISION, sd)
    expected = log_joint(rows.phi, rows.y, w, PRECISION, sd) - len(rows.y) * math.log(rows.scale)
    assert score(run) == pytest.approx(expected, abs=1e-4)


def own_units(values, learned):
    """Values (rows, columns) with mean 0 and variance 1 over the learned rows alone, and what they were divided by."""
    mean, scale = values[learned].mean(axis=0), values[learned].std(axis=0)
    return (values - mean) / np.where(scale > 0, scale, 1.0), scale


def held_out_score(rows, fold_of_row, precision, noise, c_reg=1.0, inputs=False, targets=False) -> float:
    """Σ_k log p(y_k | w_k), w_k from the rows outside fold k, which count m / m_k times, in the target's units.

    `inputs` and `targets` that are standardised are so by the rows outside fold k. With σ learned, (w_k, σ_k) is the
    fixed point of ridge regression and σ² = mean of squared residuals.
    """
    total, sd = 0.0, None
    for fold in range(1, fold_of_row.max() + 1):
        inside, outside = fold_of_row == fold, fold_of_row != fold
        count = len(rows.y) / outside.sum()
        phi, y, scale = rows.phi, rows.original, 1.0
        if inputs:
            phi = np.where(phi.std(axis=0) > 0, own_units(phi, outside)[0], phi)  # but for the bias
        if targets:
            y, scale = own_units(y, outside)
        sd = 1.0 if noise == "learned" else noise / scale
        for _ in range(200 if noise == "learned" else 1):
            w = ridge(phi[outside], y[outside], c_reg * precision, sd, count)
            if noise == "learned":
                sd = float(np.sqrt(np.mean((y[outside] - phi[outside] @ w) ** 2)))
        total += norm(scale * (phi[inside] @ w), sd * scale).logpdf(scale * y[inside]).sum()
    return total


@pytest.mark.parametrize("preset", ["cross_validation", "hold_out"])
@pytest.mark.parametrize(
    ("noise", "inputs", "targets", "c_reg"),
    [(NOISE, False, False, 1.0), (NOISE, False, True, 0.5), ("learned", True, True, 1.0), (NOISE, True, False, 1.0)],
)
def test_held_out_rows_are_judged_by_fits_to_the_others(tmp_path, preset, noise, inputs, targets, c_reg):
    """Four folds of 6 of 24 rows, the others counting 4/3 times; or 6 rows held out once.

    Where columns are standardised, it is by the moments of the rows learned from: those of all rows are told apart.
    """
    objective = {"preset": preset, "folds": 4, "held_out": 0.25, "c_reg": c_reg}
    inner = LEARNING if noise == "learned" else {"lr": 0.0005}
    given = document(preset, noise, 6.0, targets, inner, objective=objective)
    given["data"]["standardize"] = {"inputs": inputs, "targets": targets}
    run = studies.run(given, tmp_path / "run")
    rows = Rows(run.context.study.dataset)
    folds = run.context.fold_of_row(run.context.study.spec)
    assert np.bincount(folds).tolist() == ([0, 6, 6, 6, 6] if preset == "cross_validation" else [18, 6])
    expected = held_out_score(rows, folds, 6.0, noise, c_reg, inputs, targets)
    assert score(run) == pytest.approx(expected, abs=2e-4)
    # fits without the factor m / m_k, to all rows, or in the units of all rows, would be told apart
    everything = ridge(rows.phi, rows.y, c_reg * 6.0, NOISE / rows.scale)
    assert noise == "learned" or abs(
        norm(rows.phi @ everything, NOISE / rows.scale).logpdf(rows.y)[folds > 0].sum()
        - (folds > 0).sum() * math.log(rows.scale) - expected
    ) > 0.02  # fmt: skip
    assert not (inputs or targets) or abs(held_out_score(rows, folds, 6.0, noise, c_reg) - expected) > 0.01


def test_the_member_that_predicts_learned_from_all_rows(tmp_path):
    """Fold 0: the mean prediction is that of ridge regression on everything."""
    run = studies.run(
        document("cross_validation", objective={"preset": "cross_validation", "folds": 4}), tmp_path / "run"
    )
    rows = Rows(run.context.study.dataset)
    w = ridge(rows.phi, rows.y, PRECISION, NOISE)
    x = rows.dataset.train()[0][:5]
    np.testing.assert_allclose(run.predict(x).mean[:, 0], rows.phi[:5] @ w, atol=1e-4)


@pytest.mark.parametrize(("criterion", "allowed"), [("loo", 0.15), ("waic", 0.25)])
def test_rows_are_left_out_by_weighing_draws(tmp_path, criterion, allowed):
    """q the exact posterior: Σ_i log p(y_i | y_{−i}) is known, a normal density a row, in the target's units.

    Within four standard errors, of WAIC and a tenth of a nat that it is above; E_q log p(y) is 0.8 above.
    """
    full = {"weights": {"covariance": "full"}}
    given = document("evidence", 1.2, standardize=True, posterior=full, criterion=criterion, evidence={"samples": 4000})
    del given["objective"]
    run = studies.run(given, tmp_path / "run")
    rows = Rows(run.context.study.dataset)
    sd, expected = 1.2 / rows.scale, 0.0
    for number in range(24):
        others = np.arange(24) != number
        phi, y, own = rows.phi[others], rows.y[others], rows.phi[number]
        covariance = np.linalg.inv(phi.T @ phi / sd**2 + PRECISION * np.eye(3))
        predictive = norm(own @ ridge(phi, y, PRECISION, sd), math.sqrt(sd**2 + own @ covariance @ own))
        expected += predictive.logpdf(rows.y[number]) - math.log(rows.scale)
    whole = np.linalg.inv(rows.phi.T @ rows.phi / sd**2 + PRECISION * np.eye(3))
    fit = norm(rows.phi @ ridge(rows.phi, rows.y, PRECISION, sd), sd).logpdf(rows.y)
    fitted = (fit - ((rows.phi @ whole) * rows.phi).sum(1) / (2 * sd**2)).sum() - 24 * math.log(rows.scale)
    (entry,) = run.ranking
    assert entry["score"] == pytest.approx(expected, abs=allowed)
    assert 0.001 < entry["score_se"] < 0.05
    assert abs(fitted - expected) > 0.5
    assert run.summary["criterion"] == criterion


SEARCHED = [
    {"from": "x", "to": "y", "choose": "one", "basis": ["linear", {"type": "linear", "bias": False, "name": "flat"}]}
]


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """Two structures, two restarts and four folds of each, a precision in common; little data, much noise.

    Inputs and targets are in units of each fold's own.
    """
    return studies.run(
        document(
            "cross_validation", 1.0,
            data={"source": "synthetic", "rows": 16, "inputs": 4, "formula": "0.6*x0 - 0.4*x1", "noise": 1.0,
                  "split": {"test": 0}, "standardize": {"inputs": True, "targets": True}},
            model={"likelihood": {"type": "gaussian", "noise": 1.0}, **studies.model(SEARCHED)},
            prior={"weights": {"precision": "shared"}},
            objective={"preset": "cross_validation", "folds": 4},
            optimizer={"inner": {"steps": 900, "lr": 0.05}, "restarts": 2,
                       "outer": {"type": "hoag", "every": 6, "rate": 0.1, "tolerance": 1e-6}},
        ),
        tmp_path_factory.mktemp("folds") / "run",
    )  # fmt: skip


def log_precisions(run):
    """(structure, restart, fold) → log A of every trained member."""
    found = {}
    for name in studies.records(run.path):
        if name.endswith("-train"):
            for member in studies.trained(run, name):
                each, value = member.candidate, float(member.arrays["parameter/log_precision"])
                found[each.structure.as_dict()["x->y"][0], each.restart, each.fold] = value
    return found


@pytest.mark.thorough
def test_folds_of_a_start_have_their_precision_in_common(learned):
    found = log_precisions(learned)
    assert len(found) == 2 * 2 * 5
    for structure, restart in {key[:2] for key in found}:
        assert len({found[structure, restart, fold] for fold in range(5)}) == 1
    assert found["linear", 0, 0] != found["flat", 0, 0]


@pytest.mark.parametrize("structure", ["linear", "flat"])
def test_the_precision_learned_over_folds_is_the_best_of_a_grid(learned, structure):
    """Σ_k log p(y_k | w_k(A)) by brute force, log A from −1 to 5 in steps of 0.02; its maximum is inside."""
    rows = Rows(learned.context.study.dataset)
    if structure == "flat":
        rows.phi = rows.phi[:, :-1]
    folds = learned.context.fold_of_row(learned.context.study.spec)
    grid = np.arange(-1, 5, 0.02)
    values = np.array([held_out_score(rows, folds, math.exp(log_a), 1.0, inputs=True, targets=True) for log_a in grid])
    best = grid[values.argmax()]
    assert -0.5 < best < 4.5
    assert abs(best) > 0.3  # not where it started
    for restart in (0, 1):
        assert log_precisions(learned)[structure, restart, 0] == pytest.approx(best, abs=0.08)
    entry = next(each for each in learned.ranking if each["structure"]["x->y"] == [structure])
    assert entry["score"] == pytest.approx(values.max(), abs=1e-3)

"""L, Q and their one-level form from made-up terms, by arithmetic."""

from __future__ import annotations

import pytest
import torch
from handmade import DOUBLE

from structflow.objective.bound import Terms
from structflow.objective.levels import METAPARAMETERS, Metaparameters, inner_level, one_level, outer_level

TERMS = Terms(
    log_likelihood=torch.tensor([-10.0, -7.0], dtype=DOUBLE),
    kl_weights=torch.tensor([3.0, 2.0], dtype=DOUBLE),
    kl_structure=torch.tensor([0.5, -0.25], dtype=DOUBLE),
    divergence=torch.tensor([4.0, 1.0], dtype=DOUBLE),
    log_hyperprior=torch.tensor([-1.0, 0.125], dtype=DOUBLE),
)


def at(**values: float) -> Metaparameters:
    names = {"c_reg": 1.0, "c_train": 1.0, "c_prior": 1.0, "c_comb": 0.0, "c_temp": 0.5, **values}
    return Metaparameters(*torch.tensor([names[name] for name in METAPARAMETERS], dtype=DOUBLE))


def test_a_row_is_in_the_order_of_the_names():
    row = at(c_reg=1, c_train=2, c_prior=3, c_comb=4, c_temp=5)
    assert {name: float(getattr(row, name)) for name in METAPARAMETERS} == {
        "c_reg": 1, "c_train": 2, "c_prior": 3, "c_comb": 4, "c_temp": 5
    }  # fmt: skip


def test_the_lower_level():
    """L: −10 − 2 · 3.5 = −17 and −7 − 2 · 1.75 = −10.5, whatever Q's own factors are."""
    assert inner_level(TERMS, at(c_reg=2, c_train=9, c_prior=9, c_comb=9)).tolist() == [-17.0, -10.5]


def test_the_upper_level():
    """Q: 3 · (−10) − 5 · 3.5 − (−2) · 4 − 1 = −40.5 and 3 · (−7) − 5 · 1.75 + 2 · 1 + 0.125 = −27.625."""
    assert outer_level(TERMS, at(c_reg=9, c_train=3, c_prior=5, c_comb=-2)).tolist() == [-40.5, -27.625]


@pytest.mark.parametrize(("c_reg", "c_train", "c_comb"), [(1, 1, 0), (0.5, 4, -2), (3, 0.25, 1.5), (0, 2, 1)])
def test_one_level_is_the_upper_one_over_c_train(c_reg, c_train, c_comb):
    """Where c_prior = c_reg · c_train."""
    row = at(c_reg=c_reg, c_train=c_train, c_prior=c_reg * c_train, c_comb=c_comb)
    torch.testing.assert_close(one_level(TERMS, row), outer_level(TERMS, row) / c_train, rtol=1e-14, atol=0)


def test_with_every_factor_one_all_levels_are_the_bound():
    """−10 − 3 − 0.5 = −13.5 and −7 − 2 + 0.25 = −8.75, with log p(h) in Q."""
    assert TERMS.bound.tolist() == inner_level(TERMS, at()).tolist() == [-13.5, -8.75]
    assert outer_level(TERMS, at()).tolist() == one_level(TERMS, at()).tolist() == [-14.5, -8.625]

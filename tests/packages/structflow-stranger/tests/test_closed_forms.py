import math
from types import SimpleNamespace

import numpy as np
import torch
from structflow_stranger import RidgeWavelet, SignDirect, StudentT


def test_ridge_wavelet_is_minus_the_second_derivative_of_a_gaussian():
    function = RidgeWavelet(RidgeWavelet.Options(scale=2.0), (1,), (1,))
    x = torch.linspace(-5, 5, 41, dtype=torch.float64)[:, None]
    weights = {
        "weight": torch.full((1, 1), 3.0, dtype=torch.float64),
        "shift": torch.full((1,), 0.5, dtype=torch.float64),
    }
    found = function.forward(weights, x)
    z = (3 * x + 0.5) / 2
    torch.testing.assert_close(found, (1 - z**2) * torch.exp(-(z**2) / 2))
    at = z.clone().requires_grad_()
    first = torch.autograd.grad(torch.exp(-(at**2) / 2).sum(), at, create_graph=True)[0]
    second = torch.autograd.grad(first.sum(), at)[0]
    torch.testing.assert_close(found, -second)


def test_student_t_with_four_degrees_is_the_known_density():
    likelihood = StudentT(StudentT.Options(), np.ones(1))
    scale = 0.7
    parameters = {"log_scale": torch.full((1,), math.log(scale), dtype=torch.float64)}
    y = torch.linspace(-6, 6, 25, dtype=torch.float64)[:, None]
    z = y[:, 0] / scale
    expected = torch.log(0.375 / scale * (1 + z**2 / 4) ** -2.5)  # Γ(5/2) / (Γ(2) √(4π)) = 3/8
    torch.testing.assert_close(likelihood.log_prob(parameters, y, torch.zeros_like(y)), expected)
    _, variance = likelihood.moments(parameters, torch.zeros_like(y))
    torch.testing.assert_close(variance, torch.full_like(y, 2 * scale**2))


def test_sign_direct_has_length_one_for_each_member():
    member = torch.tensor([0, 0, 0, 1, 1, 1, 2])
    of_q = torch.tensor([7.0, 3.0, 4.0, 9.0, 0.0, -2.0, 0.0])
    point = SimpleNamespace(
        of_theta=torch.tensor([True, False, False, True, False, False, False]),
        outer_gradient=lambda: of_q,
        dot=lambda u, v: torch.zeros(3).index_add(0, member, u * v),
        spread=lambda values: values[member],
    )
    found = SignDirect.gradient(SignDirect.Options(), point)
    torch.testing.assert_close(found.gradient, torch.tensor([0.0, 0.6, 0.8, 0.0, 0.0, -1.0, 0.0]))
    torch.testing.assert_close(found.report["norm"], torch.tensor([5.0, 2.0, 0.0]))

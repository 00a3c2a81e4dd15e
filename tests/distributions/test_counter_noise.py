"""The counter-based generator: published answers, the right distributions, independence, and compiled = eager."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from structflow.distributions.counter_noise import (
    high_and_low_product,
    member_key,
    normals,
    philox_4x32,
    purpose_code,
    uniforms,
    unit_interval,
)
from structflow.errors import CallError

PURPOSE = purpose_code("weights")
STEP = torch.tensor(3)

# counter, key and answer of philox4x32 with 10 rounds, from the known-answer file of Random123
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


def keys_of(n_members: int) -> Tensor:
    return torch.tensor([member_key(f"member {index}") for index in range(n_members)])


@pytest.mark.parametrize("compiled", [False, True])
def test_philox_gives_the_published_answers(compiled):
    philox = torch.compile(philox_4x32, fullgraph=True) if compiled else philox_4x32
    counters, keys, answers = (
        torch.tensor([words(case[column]) for case in KNOWN_ANSWERS]).unbind(-1) for column in range(3)
    )
    assert [word.tolist() for word in philox(counters, keys)] == [word.tolist() for word in answers]


def test_product_halves_equal_exact_integers():
    values = [0, 1, 2**31 - 1, 2**31, 2**32 - 1, 0x9E3779B9]
    for multiplier in (0xD2511F53, 0xCD9E8D57):
        high, low = high_and_low_product(torch.tensor(values), multiplier)
        assert high.tolist() == [value * multiplier >> 32 for value in values]
        assert low.tolist() == [value * multiplier % 2**32 for value in values]


def test_every_word_of_a_call_becomes_one_number():
    keys = keys_of(2)
    drawn = uniforms(keys, 5, 7, samples=3, shape=(2, 3), dtype=torch.float64)
    assert drawn.shape == (2, 3, 2, 3)
    for member, sample in itertools.product(range(2), range(3)):
        calls = [philox_4x32((call, 5, sample, 7), tuple(keys[member].tolist())) for call in range(2)]
        expected = [(word + 0.5) / 2**32 for call in calls for word in call][:6]
        assert drawn[member, sample].flatten().tolist() == expected


def test_normals_and_uniforms_pass_kolmogorov_smirnov():
    keys = keys_of(4)
    normal = normals(keys, STEP, PURPOSE, 5, (5000,), torch.float64).flatten().numpy()
    uniform = uniforms(keys, STEP, PURPOSE, 5, (5000,), torch.float64).flatten().numpy()
    assert stats.kstest(normal, "norm").pvalue > 1e-3
    assert stats.kstest(uniform, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("power", range(1, 7))
def test_moments_of_normals(power):
    drawn = normals(keys_of(4), STEP, PURPOSE, 5, (5000,), torch.float64).flatten().numpy()
    exact, exact_of_square = stats.norm.moment(power), stats.norm.moment(2 * power)
    standard_error = math.sqrt((exact_of_square - exact**2) / drawn.size)
    assert abs((drawn**power).mean() - exact) < 5 * standard_error


def test_streams_are_independent():
    n_numbers = 20_000
    streams = [
        normals(keys_of(2), torch.tensor(step), purpose_code(purpose), 2, (n_numbers,), torch.float64).flatten(0, 1)
        for step in (0, 1)
        for purpose in ("weights", "structure")
    ]
    numbers = torch.cat(streams).numpy()  # members × samples × steps × purposes
    for transform in (np.asarray, np.square, np.abs):
        correlations = np.corrcoef(transform(numbers)) - np.eye(len(numbers))
        assert np.abs(correlations).max() < 5 / math.sqrt(n_numbers)
    neighbours = [np.corrcoef(stream[:-lag], stream[lag:])[0, 1] for stream in numbers for lag in (1, 2, 3, 4)]
    assert np.abs(neighbours).max() < 5 / math.sqrt(n_numbers)


@pytest.mark.parametrize("draw", [normals, uniforms])
def test_a_member_does_not_depend_on_its_batch_mates(draw):
    keys = keys_of(5)
    together = draw(keys, STEP, PURPOSE, 2, (7,))
    for member in range(5):
        assert torch.equal(draw(keys[member : member + 1], STEP, PURPOSE, 2, (7,))[0], together[member])
    assert torch.equal(draw(keys.flip(0), STEP, PURPOSE, 2, (7,)), together.flip(0))


@pytest.mark.parametrize("draw", [normals, uniforms])
def test_fewer_samples_are_a_prefix_of_more(draw):
    many = draw(keys_of(3), STEP, PURPOSE, 10, (3, 2))
    assert torch.equal(draw(keys_of(3), STEP, PURPOSE, 1, (3, 2)), many[:, :1])


@pytest.mark.parametrize("draw", [normals, uniforms])
def test_a_smaller_shape_is_a_prefix_of_a_larger(draw):
    many = draw(keys_of(3), STEP, PURPOSE, 2, (11,))
    assert torch.equal(draw(keys_of(3), STEP, PURPOSE, 2, (6,)), many[..., :6])


@pytest.mark.parametrize("draw", [normals, uniforms])
def test_single_precision_rounds_double_precision(draw):
    single, double = (draw(keys_of(10), STEP, PURPOSE, 4, (500,), dtype) for dtype in (torch.float32, torch.float64))
    assert torch.allclose(single.double(), double, rtol=0, atol=5e-6)


def test_step_may_be_an_integer_and_counts_modulo_2_to_32():
    as_tensor = normals(keys_of(2), torch.tensor(9), PURPOSE, 1, (4,))
    assert torch.equal(normals(keys_of(2), 9, PURPOSE, 1, (4,)), as_tensor)
    assert torch.equal(normals(keys_of(2), 9 + 2**32, PURPOSE, 1, (4,)), as_tensor)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_extreme_words_stay_inside_the_open_interval(dtype):
    extremes = unit_interval(torch.tensor([0, 2**32 - 1]), dtype)
    assert extremes.log().isfinite().all()
    assert torch.log1p(-extremes).isfinite().all()
    assert (1 - extremes).log().isfinite().all()


def test_scalar_and_empty_shapes():
    assert normals(keys_of(2), STEP, PURPOSE, 3, ()).shape == (2, 3)
    assert normals(keys_of(2), STEP, PURPOSE, 3, (0, 4)).shape == (2, 3, 0, 4)


def test_half_precision_is_refused():
    with pytest.raises(CallError, match="float16"):
        normals(keys_of(1), STEP, PURPOSE, 1, (2,), torch.float16)


def test_compiled_equals_eager():
    # 163 calls: Inductor writes vector code for the body of the loop and scalar or masked code for the rest
    arguments = (keys_of(3), torch.tensor(2**32 - 5), PURPOSE, 2, (13, 50), torch.float64)
    compiled = torch.compile(normals, fullgraph=True)
    assert torch.allclose(compiled(*arguments), normals(*arguments), rtol=0, atol=1e-12)


def test_compiled_uniforms_equal_eager_to_the_bit_within_a_larger_program():
    def program(keys: Tensor, step: Tensor, scale: Tensor) -> Tensor:
        drawn = uniforms(keys, step, PURPOSE, 2, (9, 5), torch.float64)
        return torch.func.vmap(lambda member, factor: factor * member)(drawn, scale)

    keys, scale = keys_of(3), torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    assert torch.equal(torch.compile(program, fullgraph=True)(keys, STEP, scale), program(keys, STEP, scale))


def test_a_new_step_does_not_compile_anew():
    programs = []

    def remember(program: torch.fx.GraphModule, example_inputs: list[Tensor]) -> Callable[..., object]:
        programs.append(program)
        return program.forward

    compiled = torch.compile(normals, backend=remember, fullgraph=True)
    for step in range(4):
        compiled(keys_of(2), torch.tensor(step), PURPOSE, 1, (4,))
    assert len(programs) == 1


def test_keys_and_purposes_are_stable_words():
    assert member_key("seed 0") == member_key("seed 0") != member_key("seed 1")
    assert all(0 <= word < 2**32 for word in (*member_key("seed 0"), purpose_code("weights")))
    # fixed for good: another value would change the noise of every stored study
    assert member_key("structflow") == (3938325524, 1774410771)
    assert purpose_code("weights") == 1595654730

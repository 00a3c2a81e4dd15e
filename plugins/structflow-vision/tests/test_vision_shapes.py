"""Which shapes and options are refused, and in which words."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

import structflow_vision.hooks as hooks
from structflow.errors import ShapeMismatch
from structflow.plugins import Shape
from structflow_vision.image_shapes import stride_between

CLASSES = {plugin.type: plugin for plugin in hooks.basis_functions()}
WINDOWS = ("convolution", "dilated_convolution", "separable_convolution", "max_pool", "average_pool")
HEADS = ("flat_linear", "pooled_linear")


@pytest.mark.parametrize(
    ("sizes", "smaller", "stride"),
    [((8, 8), (8, 8), 1), ((8, 8), (4, 4), 2), ((7, 7), (4, 4), 2), ((8, 1), (4, 1), 2), ((28, 28), (7, 7), 4),
     ((8, 8), (1, 1), 8)],
)  # fmt: skip
def test_stride_follows_from_the_sizes(sizes: Shape, smaller: Shape, stride: int) -> None:
    """out = ⌈in / stride⌉ by hand: 8/2 = 4, ⌈7/2⌉ = 4, 28/4 = 7, 8/8 = 1."""
    assert stride_between("convolution", (3, *sizes), (5, *smaller)) == stride


@pytest.mark.parametrize("smaller", [(5, 5), (4, 8), (16, 16), (3, 4)])
@pytest.mark.parametrize("name", WINDOWS)
def test_sizes_that_no_stride_makes_are_refused(name: str, smaller: Shape) -> None:
    plugin = CLASSES[name]
    with pytest.raises(ShapeMismatch, match=rf"{name} can't make {smaller[0]} × {smaller[1]} of 8 × 8.*\[4, 4\] for"):
        plugin.weight_shapes(plugin.Options(), (3, 8, 8), (3, *smaller))


@pytest.mark.parametrize("name", WINDOWS)
def test_nodes_that_are_no_images_are_refused(name: str) -> None:
    plugin = CLASSES[name]
    with pytest.raises(
        ShapeMismatch, match=rf"{name} maps images.*its input has the shape \[64\].*such as \[1, 8, 8\]"
    ):
        plugin.weight_shapes(plugin.Options(), (64,), (3, 8, 8))
    with pytest.raises(ShapeMismatch, match=r"its output has the shape \[10\]"):
        plugin.weight_shapes(plugin.Options(), (3, 8, 8), (10,))


@pytest.mark.parametrize("name", ["max_pool", "average_pool"])
def test_pools_keep_the_channels(name: str) -> None:
    plugin = CLASSES[name]
    with pytest.raises(ShapeMismatch, match=r"keeps the channels; got 3 to 4; .*or use a convolution"):
        plugin.weight_shapes(plugin.Options(), (3, 8, 8), (4, 8, 8))
    assert plugin.weight_shapes(plugin.Options(), (3, 8, 8), (3, 4, 4)) == {}


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize(("before", "after"), [((64,), (10,)), ((3, 8, 8), (3, 8, 8)), ((8, 8), (10,))])
def test_heads_lead_from_an_image_to_a_vector(name: str, before: Shape, after: Shape) -> None:
    plugin = CLASSES[name]
    with pytest.raises(ShapeMismatch, match=f"{name} maps an image.*use it on an edge into y"):
        plugin.weight_shapes(plugin.Options(), before, after)


@pytest.mark.parametrize(
    ("name", "after", "weights"),
    [
        ("convolution", (6, 8, 8), 4 * 9 * 6 + 6),
        ("dilated_convolution", (6, 4, 4), 4 * 9 * 6 + 6),
        ("separable_convolution", (6, 8, 8), 9 * 4 + 4 * 6 + 6),
        ("flat_linear", (10,), 4 * 64 * 10 + 10),
        ("pooled_linear", (10,), 4 * 10 + 10),
    ],
)
def test_numbers_of_weights(name: str, after: Shape, weights: int) -> None:
    plugin = CLASSES[name]
    shapes = plugin.weight_shapes(plugin.Options(), (4, 8, 8), after)
    total = 0
    for shape in shapes.values():
        size = 1
        for length in shape:
            size *= length
        total += size
    assert total == weights


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_have_a_middle(name: str) -> None:
    plugin = CLASSES[name]
    with pytest.raises(ValidationError, match=r"got 4; .* must be odd \(try 5\)"):
        plugin.Options(size=4)
    assert plugin.label(plugin.Options(size=5)) == f"{name}:5"

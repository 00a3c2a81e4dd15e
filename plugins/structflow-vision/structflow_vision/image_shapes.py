"""What the shapes of two image nodes say: an image is (channels, height, width), and a smaller one means a stride."""

from __future__ import annotations

from structflow.errors import ShapeMismatch
from structflow.plugins import Shape


def check_images(name: str, in_shape: Shape, out_shape: Shape) -> None:
    """Raise `ShapeMismatch` unless both shapes are of images."""
    for end, shape in (("input", in_shape), ("output", out_shape)):
        if len(shape) != 3:
            raise ShapeMismatch(
                f"{name} maps images, channels × height × width; its {end} has the shape {list(shape)}; "
                "give the node three numbers, such as [1, 8, 8]"
            )


def check_same_channels(name: str, in_shape: Shape, out_shape: Shape) -> None:
    """Raise `ShapeMismatch` where the number of channels changes."""
    if in_shape[0] != out_shape[0]:
        raise ShapeMismatch(
            f"{name} keeps the channels; got {in_shape[0]} to {out_shape[0]}; "
            "give both nodes the same number, or use a convolution"
        )


def stride_between(name: str, in_shape: Shape, out_shape: Shape) -> int:
    """The stride s ≥ 1 of a window with "same" padding that makes the one size of the other: out = ⌈in / s⌉.

    It is the smallest one that serves both height and width: [·, 8, 8] to [·, 4, 4] is 2, 7 × 7 to 4 × 4 too. Raises
    `ShapeMismatch` where there is none.
    """
    check_images(name, in_shape, out_shape)
    sizes, wanted = in_shape[1:], out_shape[1:]
    stride = max(-(-size // smaller) for size, smaller in zip(sizes, wanted, strict=True))
    reached = strided(sizes, stride)
    if reached != wanted:
        halved = list(strided(sizes, 2))
        raise ShapeMismatch(
            f"{name} can't make {wanted[0]} × {wanted[1]} of {sizes[0]} × {sizes[1]}: one stride s for height and "
            f"width gives ⌈size / s⌉; keep the size, or take {halved} for a stride of 2"
        )
    return stride


def strided(sizes: Shape, stride: int) -> Shape:
    """⌈size / stride⌉ of height and width."""
    return tuple(-(-size // stride) for size in sizes)


def same_padding(size: int, dilation: int = 1) -> int:
    """Rows and columns to add on every side, so that an odd window with stride 1 keeps the size."""
    return dilation * (size - 1) // 2

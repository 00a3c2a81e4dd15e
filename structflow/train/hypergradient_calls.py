"""What a method of two levels is asked: hypergradients, which are checked before h is moved by them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..plugins import Hypergradient, Options, OuterGradient, TwoLevelPoint
from ..plugins.calling import Calling, broken_contract


def hypergradient(method: type[Hypergradient], options: Options, point: TwoLevelPoint, members: int) -> OuterGradient:
    """dQ/dh (P,) and reports (M,) at a point; raises `PluginError` where the method gives anything else.

    Only shapes and dtypes are looked at, so that a program in which it is traced stays as it was.
    """
    with Calling(method, "gradient"):
        found: object = method.gradient(options, point)
    if not isinstance(found, OuterGradient) or not isinstance(found.report, Mapping):
        raise broken_contract(method, "gradient", type(found).__name__, "an OuterGradient(gradient, report)")
    like = point.of_theta
    check(method, "the gradient", found.gradient, tuple(like.shape))
    for name, value in found.report.items():
        check(method, f"report {name!r}", value, (members,))
    return found


def check(method: type[Hypergradient], what: str, value: object, shape: tuple[int, ...]) -> None:
    """Raise `PluginError` unless a value is a tensor of numbers of this shape."""
    if not isinstance(value, Tensor):
        raise broken_contract(method, "gradient", f"{type(value).__name__} as {what}", f"a tensor of shape {shape}")
    if tuple(value.shape) != shape:
        raise broken_contract(method, "gradient", f"{what} of shape {tuple(value.shape)}", f"the shape {shape}")

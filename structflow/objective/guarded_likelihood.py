"""A likelihood as the core calls it: what it returns is checked, and its errors name it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..plugins import Likelihood, Options, Shape, TargetKind
from ..plugins.calling import Calling, broken_contract
from .parameters import Named


class GuardedLikelihood:
    """A likelihood with the methods of its contract, of which every one raises `PluginError` where it is broken.

    It is vectorised over members and samples as the likelihood itself is: shapes are those of one member. Checks look
    at shapes and dtypes, which tracing knows, and cost a program nothing.
    """

    def __init__(self, plugin: Likelihood):
        self.plugin = plugin
        self.type = plugin.type
        self.options: Options = plugin.options
        self.target: TargetKind = plugin.target
        self.target_scale: np.ndarray = plugin.target_scale
        self.is_normal: bool = plugin.is_normal

    @property
    def has_own_draw(self) -> bool:
        """Whether y given f is distributed differently from what the default of `draw` assumes."""
        return type(self.plugin).draw is not Likelihood.draw

    @property
    def closed_form(self) -> bool:
        """Whether `expected_log_prob` is available."""
        with Calling(type(self.plugin), "closed_form"):
            return bool(self.plugin.closed_form)

    def parameters(self, out_shape: Shape) -> dict[str, np.ndarray]:
        """Starting values of the learned parameters by name, in float64."""
        method, expected = "parameters", "finite numbers by the names of the parameters"
        with Calling(type(self.plugin), method):
            found: object = self.plugin.parameters(out_shape)
        if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
            raise self._broken(method, repr(found), expected)
        arrays = {name: numbers(value) for name, value in found.items()}
        wrong = [name for name, array in arrays.items() if array is None]
        if wrong:
            raise self._broken(method, f"{found[wrong[0]]!r} for {wrong[0]!r}", expected)
        return {name: array for name, array in arrays.items() if array is not None}

    def log_prob(self, parameters: Named, y: Tensor, f: Tensor) -> Tensor:
        """log p(y_i | f_i), (rows,), of one member."""
        with Calling(type(self.plugin), "log_prob"):
            found = self.plugin.log_prob(parameters, y, f)
        return self._rows("log_prob", found, f)

    def expected_log_prob(self, parameters: Named, y: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """E log p(y_i | f_i), (rows,), of one member."""
        with Calling(type(self.plugin), "expected_log_prob"):
            found = self.plugin.expected_log_prob(parameters, y, mean, variance)
        return self._rows("expected_log_prob", found, mean)

    def curvature(self, parameters: Named, y: Tensor, f: Tensor) -> Tensor:
        """−∂²log p(y_i | f_i)/∂f_i², (rows, out, out), of one member."""
        with Calling(type(self.plugin), "curvature"):
            found: object = self.plugin.curvature(parameters, y, f)
        width = f[0].numel()
        if not isinstance(found, Tensor) or tuple(found.shape) != (len(f), width, width) or found.dtype != f.dtype:
            expected = f"{(len(f), width, width)} in {f.dtype}, a matrix a row over the flattened output"
            raise self._broken("curvature", kind_of_value(found), expected)
        return found

    def moments(self, parameters: Named, f: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of y given f, (rows, …) each, of one member."""
        with Calling(type(self.plugin), "moments"):
            found: object = self.plugin.moments(parameters, f)
        expected = "a mean and a variance, tensors of one shape (rows, …) in the dtype and on the device of f"
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise self._broken("moments", kind_of_value(found), expected)
        mean, variance = found
        for each in (mean, variance):
            if not isinstance(each, Tensor) or each.dtype != f.dtype or each.device != f.device:
                raise self._broken("moments", kind_of_value(each), expected)
        if mean.ndim == 0 or mean.shape != variance.shape or len(mean) != len(f):
            shapes = f"the shapes {tuple(mean.shape)} and {tuple(variance.shape)}"
            raise self._broken("moments", shapes, f"{expected}; there are {len(f)} rows")
        return mean, variance

    def draw(self, parameters: Named, f: Tensor, generator: np.random.Generator) -> np.ndarray:
        """One draw of y given f for every row."""
        with Calling(type(self.plugin), "draw"):
            found: object = self.plugin.draw(parameters, f, generator)
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf" or found.shape[:1] != (len(f),):
            raise self._broken("draw", kind_of_value(found), f"an array of numbers, one row for each of {len(f)} rows")
        return found

    def metrics(self, y: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
        """Metrics of the mean prediction by name."""
        with Calling(type(self.plugin), "metrics"):
            found: object = self.plugin.metrics(y, prediction)
        if not isinstance(found, Mapping):
            raise self._broken("metrics", kind_of_value(found), "a dictionary of numbers by their names")
        metrics = {}
        for name, value in found.items():
            number = numbers(value, finite=False)
            if not isinstance(name, str) or number is None or number.ndim > 0:
                raise self._broken("metrics", f"{value!r} for {name!r}", "one number for every name")
            metrics[name] = float(number)
        return metrics

    def _rows(self, method: str, found: object, f: Tensor) -> Tensor:
        """What is to be one number a row, in the dtype and on the device of f."""
        if not isinstance(found, Tensor):
            raise self._broken(method, kind_of_value(found), "a tensor (rows,)")
        if tuple(found.shape) != (len(f),):
            got = f"the shape {tuple(found.shape)}"
            raise self._broken(method, got, f"(rows,) = ({len(f)},): sum over the targets of a row, not over rows")
        if found.dtype != f.dtype or found.device != f.device:
            got = f"{found.dtype} on {found.device}"
            raise self._broken(method, got, f"{f.dtype} on {f.device}, as f: make constants with f.new_tensor(…)")
        return found

    def _broken(self, method: str, got: str, expected: str) -> Exception:
        return broken_contract(type(self.plugin), method, got, expected)


def numbers(value: object, finite: bool = True) -> np.ndarray | None:
    """A value as an array in float64; None where it isn't made of numbers, finite ones unless otherwise said."""
    try:
        array = np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
    except Exception:  # ragged lists, objects of unknown types
        return None
    if array.dtype.kind not in "biuf" or (finite and not np.isfinite(array).all()):
        return None
    return array.astype(np.float64)


def kind_of_value(value: object) -> str:
    """What was got, in a message: of tensors and arrays their shape and dtype."""
    if isinstance(value, Tensor | np.ndarray):
        device = f" on {value.device}" if isinstance(value, Tensor) else ""
        return f"{type(value).__name__} of shape {tuple(value.shape)} in {value.dtype}{device}"
    return f"{type(value).__name__}"

"""Random inputs and a target that follows from them by a formula."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ...plugins import DataOptions, DataSource, Table


class SyntheticOptions(DataOptions):
    """How many rows and inputs, and how the target follows from them."""

    rows: int = Field(ge=1, le=100_000_000, description="Number of rows.")
    inputs: int = Field(ge=1, le=1_000_000, description="Number of inputs: x0, x1, ...")
    formula: str = Field(description="The target from the inputs, such as `tanh(x0) + 0.5 * x1 ** 2`.")
    noise: float = Field(0.0, ge=0.0, description="Standard deviation of the normal noise added to the target.")
    seed: int = Field(0, ge=0, lt=2**128, description="Seed of the random inputs and noise.")
    distribution: Literal["normal", "uniform"] = Field(
        "normal", description="Inputs are standard normal, or uniform on [-1, 1]."
    )


class Synthetic(DataSource):
    """y = formula(x) + noise · ε with ε ~ N(0, 1); the same seed gives the same data.

    The formula has numbers, x0, x1, ..., pi, + - * / **, comparisons (0 or 1) and sin, cos, tan, tanh, exp, log,
    sqrt, abs, sign, sigmoid, relu, softplus, minimum, maximum, where.
    """

    type = "synthetic"
    Options = SyntheticOptions

    @staticmethod
    def read(options: Any, base: Path) -> Table:
        """The table: inputs (rows, inputs), one target `y`; raises `SpecError` at `data.formula`."""
        import numpy as np

        from ...data.formula import parse_formula

        formula = parse_formula(options.formula, options.inputs)
        # The split draws from the start of the Philox stream of its own seed. Jumping ahead keeps the values apart
        # from it where both seeds are equal: held-out rows would otherwise be picked by the bits that made the inputs.
        stream = np.random.Philox(key=options.seed)
        for_inputs, for_noise = (np.random.Generator(stream.jumped(jumps)) for jumps in (1, 2))
        shape = (options.rows, options.inputs)
        if options.distribution == "normal":
            inputs = for_inputs.standard_normal(shape)
        else:
            inputs = for_inputs.uniform(-1.0, 1.0, shape)
        targets = formula(inputs) + options.noise * for_noise.standard_normal(options.rows)
        names = tuple(f"x{index}" for index in range(options.inputs))
        return Table(inputs, targets[:, None], names, ("y",))

"""The keys of the estimators that follow trajectories of gradient steps."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ...plugins import Options


class DescentOptions(Options):
    """Keys of `evidence.estimators` with `type: sgd_entropy` or `sgld_entropy`."""

    restarts: int = Field(10, ge=2, description="Trajectories of every member; fewer than 50 have no standard error.")
    steps: int = Field(2000, ge=1, description="Most steps of a trajectory.")
    rate: float | None = Field(
        None,
        gt=0,
        description="β, the factor of the gradient; by default 0.2 over the largest eigenvalue of the Hessian at the "
        "start, less where the curvature grows on the way.",
    )
    start: Literal["functions", "prior", "posterior"] | Annotated[float, Field(gt=0)] = Field(
        "functions",
        description="Normal distribution of the starts: with the spread of the functions' own starts, the prior, the "
        "posterior q(w), or N(0, this number squared).",
    )
    check_every: int = Field(1, ge=1, description="Steps between two looks at the bound.")
    patience: int = Field(50, ge=1, description="Steps without a rise of the bound after which trajectories stop.")
    batch_size: int | None = Field(None, ge=1, description="Rows of a step; by default all.")
    measure_every: int = Field(
        1, ge=1, description="The change of entropy is measured at one random step of so many, and counts that often."
    )

    @model_validator(mode="after")
    def _looks_fall_between_blocks(self) -> Self:
        if self.check_every % self.measure_every:
            raise ValueError(
                f"check_every is {self.check_every} and measure_every {self.measure_every}; make the first a multiple "
                "of the second"
            )
        return self

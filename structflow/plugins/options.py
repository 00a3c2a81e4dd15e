"""The base of every plugin's options model."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Options of one plugin as they stand in the spec.

    Unknown keys are errors, values are immutable and numbers are finite. The key `type` that picks the plugin is
    added when the plugin is registered, so a plugin's own model doesn't repeat it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

"""Test errors of classical forecasts of the sunspots, on the split of specs/sunspots.yaml.

    python plugins/structflow-sequence/benchmarks/sunspots_baselines.py

Persistence says that next year is like this one. AR(p) is fitted by least squares (statsmodels' AutoReg) to the years
of the training rows; its coefficients then stay as they are, and each year of the test is forecast from the true
years before it, as structflow's models do.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml
from statsmodels.tsa.ar_model import AutoReg, ar_select_order  # type: ignore[import-untyped]

from structflow_sequence.series import read_series
from structflow_sequence.windows import windows

SPEC = Path(__file__).parent.parent / "specs" / "sunspots.yaml"


def baselines() -> dict[str, float]:
    """Root mean squared error on the test rows, by the name of the forecast."""
    data = yaml.safe_load(SPEC.read_text(encoding="utf-8"))["data"]
    values, length = read_series(data["name"], None).values, data["length"]
    inputs, targets = windows(values, length, 1)
    tested = round(data["split"]["test"] * len(targets))
    past, inputs, targets = values[:-tested], inputs[-tested:], targets[-tested:]

    def error(forecast: np.ndarray) -> float:
        return float(np.sqrt(np.mean((forecast - targets) ** 2)))

    errors = {"persistence": error(inputs[:, -1])}
    orders = {"AIC": "aic", "BIC": "bic"}
    fitted = {f"AR({length}), all lags": AutoReg(past, length).fit()}
    for name, criterion in orders.items():
        lags = ar_select_order(past, length, ic=criterion).ar_lags
        fitted[f"AR({max(lags)}), order by {name}"] = AutoReg(past, lags, hold_back=length).fit()
    for name, model in fitted.items():
        constant, *coefficients = model.params
        errors[name] = error(constant + inputs[:, ::-1][:, : len(coefficients)] @ np.array(coefficients))
    return errors


if __name__ == "__main__":
    for name, value in baselines().items():
        print(f"{name:24} {value:6.2f}")

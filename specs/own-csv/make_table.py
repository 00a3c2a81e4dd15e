"""Writes rides.csv: an invented table of bicycle rides by weather, so that there is a file to try the spec on.

rides = 220 + 140 tanh((temperature − 14) / 6) − 9 (wind − 4) + 25 ε, 160 days; humidity has no effect.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np


def main() -> None:
    """Draw the days and write them beside this file."""
    generator = np.random.default_rng(2018)
    days = 160
    temperature = generator.normal(14.0, 8.0, days)
    wind = generator.gamma(4.0, 1.0, days)
    humidity = generator.uniform(30.0, 95.0, days)
    rides = 220 + 140 * np.tanh((temperature - 14) / 6) - 9 * (wind - 4) + 25 * generator.standard_normal(days)
    rows = zip(temperature, wind, humidity, rides, strict=True)
    lines = ["temperature,wind,humidity,rides", *(f"{t:.1f},{w:.1f},{h:.1f},{r:.0f}" for t, w, h, r in rows)]
    (Path(__file__).parent / "rides.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

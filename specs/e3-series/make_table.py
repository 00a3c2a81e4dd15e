"""Writes readings.npz: an invented table of accelerometer readings, as a phone in a pocket gives them.

Each row is 199 successive norms of acceleration (m/s², 20 a second, about ten seconds) of someone who walks, jogs or
stands, and the target is the next norm. A row draws an activity, a pace, a direction of gravity and the strengths and
phases of three harmonics along three axes; every axis gets noise of 0.3 m/s².
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

ROWS, READINGS, RATE = 800, 200, 20.0
GRAVITY, NOISE = 9.81, 0.3
ACTIVITIES = ((1.9, 2.5), (2.7, 5.0), (0.3, 0.2))
"""Pace in steps a second and strength in m/s² of walking, jogging and standing."""


def norms(generator: np.random.Generator) -> np.ndarray:
    """One row: 200 norms of acceleration."""
    pace, strength = ACTIVITIES[generator.integers(len(ACTIVITIES))]
    pace *= generator.uniform(0.85, 1.15)
    times = np.arange(READINGS) / RATE
    direction = generator.normal(size=3)
    acceleration = GRAVITY * np.tile(direction / np.linalg.norm(direction), (READINGS, 1))
    for harmonic in (1, 2, 3):
        size = strength / harmonic * generator.normal(size=3)
        phase = generator.uniform(0, 2 * np.pi, 3)
        acceleration += size * np.sin(2 * np.pi * harmonic * pace * times[:, None] + phase)
    acceleration += NOISE * generator.normal(size=acceleration.shape)
    return np.asarray(np.linalg.norm(acceleration, axis=1))


def main() -> None:
    """Draw the rows and write them beside this file, rounded to hundredths."""
    generator = np.random.default_rng(2019)
    table = np.array([norms(generator) for _ in range(ROWS)]).round(2).astype(np.float32)
    np.savez_compressed(Path(__file__).parent / "readings.npz", inputs=table[:, :-1], target=table[:, -1:])


if __name__ == "__main__":
    main()

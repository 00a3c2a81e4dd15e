"""A certificate of hypergradients as plain data: what is printed, stored, and shown with a run."""

from __future__ import annotations

from typing import Any

import numpy as np

from .certificate import Certificate, place_name, verdict


def certificate_as_json(found: Certificate) -> dict[str, Any]:
    """Differences, rows and chosen hyperparameters; of several members the worst where there is one number."""
    rows = []
    for row in found.rows:
        error, from_reference = found.relative_error(row), found.from_reference(row)
        rows.append(
            {
                "type": row.name,
                "relative_error": worst(error),
                "cosine": float(np.min(found.cosine(row))),
                "from_reference": None if from_reference is None else worst(from_reference),
                "seconds": row.seconds,
                "inner_steps": row.seconds / found.step_seconds,
                "peak_bytes": row.peak_bytes,
                "peak_bytes_of_a_tenth": row.peak_bytes_of_a_tenth,
                "verdict": verdict(worst(error)),
                "members": {"relative_error": error.tolist(), "cosine": found.cosine(row).tolist()},
                "report": {name: value.tolist() for name, value in row.report.items()},
            }
        )
    differences, coordinates = found.differences, []
    for member in range(differences.places.shape[1]):
        for number, place in enumerate(differences.places[:, member].tolist()):
            if place < 0:
                continue
            name, index = place_name(found.layout, place)
            coordinates.append(
                {
                    "member": member,
                    "name": name,
                    "index": list(index),
                    "difference": float(differences.value[number, member]),
                    "uncertainty": float(differences.uncertainty[number, member]),
                    "gradients": {row.name: float(row.gradient[place]) for row in found.rows},
                }
            )
    return {
        "reference": found.reference,
        "n_hyperparameters": [int((found.owners == member).sum()) for member in range(differences.places.shape[1])],
        "differences": {"uncertainty": worst(found.uncertainty), "seconds": found.difference_seconds},
        "methods": rows,
        "coordinates": coordinates,
    }


def worst(values: np.ndarray) -> float:
    """The largest, NaN where one is."""
    return float(np.max(values))

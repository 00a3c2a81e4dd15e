"""The spec of this package: that it runs, and what it reaches."""

from __future__ import annotations

from pathlib import Path

import pytest

import structflow

SPEC = Path(__file__).parents[1] / "specs" / "digits.yaml"

TINY = (
    "data.split.test=0.9",
    "model.nodes.stem.shape=[2, 8, 8]",
    "model.nodes.a.shape=[2, 8, 8]",
    "model.nodes.b.shape=[2, 8, 8]",
    "model.nodes.c.shape=[2, 4, 4]",
    "optimizer.inner.steps=3",
    "optimizer.restarts=1",
    "evidence.samples=2",
    "regime={type: evidence, open: {stem->b: [identity], a->b: ['max_pool:3', zero], stem->c: [zero], a->c: [zero],"
    " b->c: ['convolution:3', 'average_pool:3']}}",
)
"""Small in every respect; one edge keeps all operations, the others enough for a cell."""


def test_the_spec_runs_from_images_to_a_ranked_cell(tmp_path: Path) -> None:
    run = structflow.run(SPEC, tmp_path / "run", overrides=TINY)
    assert run.summary["status"] == "finished"
    assert (
        run.summary["n_structures"] == 32
    )  # of 7 × 2 × 2 × 2 combinations on the open edges those that differ in a function
    chosen = run.best.structure
    assert chosen["x->stem"] == ["convolution:3"]
    assert chosen["stem->b"] == ["identity"]
    assert all(len(names) <= 1 for names in chosen.values())
    probabilities = run.summary["relaxed"]["q_probability"]
    assert len(probabilities["stem->a"]) == 7
    for chances in probabilities.values():
        assert sum(chances.values()) == pytest.approx(1.0)
    assert run.context.study.graph.shapes["x"] == ((1, 8, 8),)


@pytest.mark.slow
def test_the_chosen_cell_reads_digits(tmp_path: Path) -> None:
    """At least 97.5 % of the 359 test rows, a fifth of 1,797; the README has what was measured."""
    run = structflow.run(SPEC, tmp_path / "run")
    assert run.best.metrics["test"]["accuracy"] >= 0.975

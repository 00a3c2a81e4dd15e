"""E3: ways to learn thousands of hyperparameters (specs/e3-series and specs/e3-digits.yaml) beside random search.

    python docs/experiments/many_hyperparameters.py [FOLDER] [KEY=VALUE ...]

Prints, for each method, the log evidence of its best start (the bound, with fresh noise), the metric on the held-out
rows and the seconds of training, and draws docs/figures/e3_many_hyperparameters.png where no KEY is given. Ten
minutes on one core that is shared.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import structflow
from structflow.plan.tasks import Task
from structflow.results.run import Run
from structflow.runner.tracking import trained_batch

ROOT = Path(__file__).parents[2]
FIGURE = ROOT / "docs" / "figures" / "e3_many_hyperparameters.png"
STUDIES = {"series": ROOT / "specs" / "e3-series" / "spec.yaml", "digits": ROOT / "specs" / "e3-digits.yaml"}
METRIC = {"series": "rmse", "digits": "accuracy"}
PUBLISHED = {
    "series": {"random_search": -35_420, "greedy": -3_553, "hoag": -16_567, "drmad": -26_091},
    "digits": {"random_search": -1_304_556, "greedy": -11_136, "hoag": -280_062, "drmad": -1_305_433},
}
"""Bounds in the thesis, on WISDM and on MNIST."""


@dataclass(frozen=True)
class Found:
    """What a method came to: log evidence, held-out metric, starts, seconds, and its best bound against steps."""

    method: str
    log_evidence: float
    metric: float
    starts: int
    seconds: float
    steps: np.ndarray
    bounds: np.ndarray


def found_by(run: Run, setting: int, metric: str) -> Found:
    """What a setting of the run came to; NaN where all of its starts diverged."""
    spec = run.context.stages(setting)[-1]
    context, task = run.context, Task("train", setting, 0, 0, 0)
    batch = trained_batch(context.directory, context.plan, task, replayed=True)
    assert batch is not None
    shift = run.context.study.dataset.n_train * float(np.log(run.context.study.dataset.target_scale).sum())
    bounds = batch.terms["log_likelihood"] - batch.terms["kl_weights"] - shift
    ranking = run.summary["settings"][setting]["ranking"]
    value, held_out = (ranking[0]["log_evidence"], ranking[0]["metrics"]["test"][metric]) if ranking else (np.nan,) * 2
    return Found(
        spec.optimizer.outer.type, value, held_out, spec.optimizer.restarts,
        context.directory.record(task.name).seconds or 0.0, batch.steps + 1, bounds.max(axis=1),
    )  # fmt: skip


def print_table(name: str, found: list[Found]) -> None:
    """One study: published | ours."""
    metric = METRIC[name]
    print(f"{name:16}{'published Q':>13}{'ours':>12}{metric:>10}{'starts':>8}{'seconds':>9}")
    for each in found:
        print(
            f"{each.method:16}{PUBLISHED[name][each.method]:13,}{each.log_evidence:12,.0f}{each.metric:10.3f}"
            f"{each.starts:8}{each.seconds:9.0f}"
        )
    best = {each.method: each.log_evidence for each in found}
    print(f"greedy is ahead of random search by {best['greedy'] - best['random_search']:,.0f} nats\n", flush=True)


def draw(studies: dict[str, list[Found]]) -> None:
    """The bound of the best start against steps of θ; minibatches and samples make it noisy."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    colors = {"greedy": "#4477aa", "hoag": "#ee6677", "drmad": "#228833", "random_search": "0.4"}
    for axes, (name, found) in zip(figure.subplots(1, len(studies)), studies.items(), strict=True):
        for each in found:
            axes.plot(each.steps, -each.bounds, color=colors[each.method], label=each.method.replace("_", " "))
        axes.set_yscale("log")
        axes.invert_yaxis()
        axes.set_xlabel("steps of θ")
        axes.set_ylabel("− bound, nats (up is better)")
        axes.set_title(name, loc="left")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(FIGURE, dpi=120)


def main() -> None:
    """Run both studies, print, draw."""
    overrides = [value for value in sys.argv[1:] if "=" in value]
    folder = Path(next((value for value in sys.argv[1:] if "=" not in value), "runs/e3"))
    studies = {}
    for name, spec in STUDIES.items():
        run = structflow.run(spec, folder / name, overrides=overrides)
        studies[name] = [found_by(run, number, METRIC[name]) for number in range(len(run.summary["settings"]))]
        print_table(name, studies[name])
    if not overrides:
        draw(studies)


if __name__ == "__main__":
    main()

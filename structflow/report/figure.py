"""Figures of a run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CallError
from ..results.marginals import choice_label, marginal_probabilities
from ..results.models import RankingEntry, Summary
from ..words import counted
from .criterion import has_noise, score_label
from .image import new_figure, save_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_STRUCTURES = 15
MOST_CHOICES = 6
BAR = "#4477aa"


def save_ranking_figure(summary: Summary, run: Path, target: Path) -> None:
    """Draw evidence by structure beside the probability of every choice, and save it as an image.

    Raises `CallError` where matplotlib is missing or nothing is ranked.
    """
    ranking = summary.ranking
    if not ranking:
        raise CallError(f"the run in {run} has no ranking to draw: no structure has a rank, and its warnings say why")
    shown = ranking[:MOST_STRUCTURES]
    marginals = {key: chances for key, chances in marginal_probabilities(ranking).items() if len(chances) > 1}
    height = 1.6 + 0.3 * max(len(shown), sum(min(len(c), MOST_CHOICES) + 1 for c in marginals.values()))
    figure = new_figure(11, height)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    draw_ranking(left, shown, summary.criterion)
    draw_choices(right, marginals)
    unranked = len(summary.unranked)
    title = f"{summary.run}: {counted(len(ranking), 'structure')}"
    figure.suptitle(title + f"; {unranked} more have no rank" * bool(unranked))
    save_image(figure, target)


def draw_ranking(axes: Axes, ranking: list[RankingEntry], criterion: str) -> None:
    """What ranks, below the best, with two standard errors where it has one; one row a structure."""
    varying = [key for key in ranking[0].structure if len({tuple(e.structure[key]) for e in ranking}) > 1]
    best = ranking[0].score
    names = [
        ", ".join(choice_label(key, entry.structure[key]) for key in varying) or "the structure" for entry in ranking
    ]
    gaps = [entry.score - best for entry in ranking]
    errors = [math.nan if entry.score_se is None else 2 * entry.score_se for entry in ranking]
    rows = range(len(ranking))
    axes.errorbar(gaps, rows, xerr=errors, fmt="o", color=BAR, capsize=3)
    axes.set_yticks(rows, [f"{name}   p = {entry.probability:.2f}" for name, entry in zip(names, ranking, strict=True)])
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    bars = "; bars: two standard errors" if has_noise(criterion) else ""
    bars += "; none: not known" if any(map(math.isnan, errors)) else ""
    axes.set_xlabel(f"{score_label(criterion)} − best ({best:.1f}), nats{bars}")
    axes.set_title("structures", loc="left")


def draw_choices(axes: Axes, marginals: dict[str, dict[str, float]]) -> None:
    """Probability of every value of every open choice."""
    position, ticks, labels = 0.0, [], []
    for key, chances in marginals.items():
        axes.text(0.0, position, key, fontweight="bold", va="center")
        position += 1
        for label, chance in list(chances.items())[:MOST_CHOICES]:
            axes.barh(position, chance, color=BAR, height=0.7)
            axes.text(chance + 0.01, position, f"{chance:.2f}", va="center", color="0.3")
            ticks.append(position)
            labels.append(label)
            position += 1
        position += 0.4
    axes.set_yticks(ticks, labels)
    axes.set_ylim(position, -0.9)
    axes.set_xlim(0, 1.2)
    axes.set_xlabel("posterior probability")
    axes.set_title("choices", loc="left")

"""Whether the structures of a ranking have converged, and what it may mean for their order if not."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..plugins.registry import registry
from ..spec.models import Spec
from ..spec.round_spec import numbers_of_steps
from ..store.records import Convergence
from ..words import counted
from .models import ConvergenceReport, RankingEntry
from .read import structure_name

LIMIT = 0.1
"""Nats that a converged member may still gain at most."""

SHARE_OF_GAP = 0.1
"""The same as a share of the gap to the neighbours in the ranking."""

MOST_LEFT = 10.0
"""Times its limit without noise that a converged member may gain in the end: more is slow progress, not its end."""

LEAST_LIMIT = 0.01
"""Nats below which a gain changes no probability that is shown, however small a gap is."""

FAR_FROM_ONE = 100.0
"""Factor from 1 beyond which the scale of data is named as the reason of slow training."""

MOST_STEPS = 10
"""The largest multiple of the steps that a warning suggests."""

NOT_FINITE = "its objective isn't a finite number along the way"

H_NOT_MEASURED = "whether the hyperparameters have arrived is not measured under two levels"

NO_END = "what it gains is little, but no end of it is in sight; raise optimizer.inner.lr or steps"


def gaps_to_neighbours(scores: Sequence[float]) -> list[float]:
    """How far each of the scores of a ranking, best first, is from the nearest; ∞ for a single one."""
    neighbours = ([*scores[number - 1 : number], *scores[number + 1 : number + 2]] for number in range(len(scores)))
    gaps = ([abs(score - other) for other in near] for score, near in zip(scores, neighbours, strict=True))
    return [min(each, default=math.inf) for each in gaps]


def measures_h(spec: Spec, is_relaxed: bool = False) -> bool:
    """Whether the measure is of all that is learned: hyperparameters of a second level, if there are any, aren't in it.

    A relaxed member may learn those of the structure, too.
    """
    one_level: bool = registry().get("hypergradients", spec.optimizer.outer.type).levels == 1
    return one_level or not (spec.prior.weights.is_learned or is_relaxed)


def judged_alone(
    measure: Convergence,
    error: float | None,
    gap: float = math.inf,
    h_is_measured: bool = True,
) -> ConvergenceReport:
    """What is reported of a member's measure, given the Monte Carlo error of its score and the gap to its neighbours.

    The error is that without the error of sampling rows, which structures have in common. The limit is a tenth of a nat
    and of the gap, or the error where that is larger.

    `still_gaining`, with its error `still_gaining_se`, is what the objective would gain in as many steps again,
    `left_to_gain` an extrapolation of all that it would gain in the end, not a bound, and None where no end is in
    sight. `converged` says that the first is below its limit, also two errors up, and the last below ten times the
    limit without noise, or the noise. It is None, with a reason in `converged_unknown`, where that can't be told.
    """
    limit = limit_of(gap, error)
    most_left = max(MOST_LEFT * limit_of(gap, None), limit)
    converged, reason = judged(measure, limit, most_left)
    if converged and not h_is_measured:
        converged, reason = None, H_NOT_MEASURED
    return ConvergenceReport(
        converged=converged,
        converged_unknown=reason,
        still_gaining=measure.still_gaining,
        still_gaining_se=measure.still_gaining_se,
        left_to_gain=measure.left_to_gain,
    )


def limit_of(gap: float, error: float | None) -> float:
    """Nats below which what a member may still gain doesn't matter, given the gap to its nearest neighbour.

    What is less than the score's own Monte Carlo error isn't told from noise by the ranking either.
    """
    return max(min(LIMIT, SHARE_OF_GAP * gap), LEAST_LIMIT, error or 0.0)


def judged(measure: Convergence, limit: float, most_left: float) -> tuple[bool | None, str | None]:
    """Whether a member has converged, or None and why that can't be told.

    As many steps again may gain `limit`, and all to come `most_left`.
    """
    still, error, left = measure.still_gaining, measure.still_gaining_se, measure.left_to_gain
    if still is None or error is None:
        return None, NOT_FINITE
    if still > limit:
        return False, None
    if still + 2 * error > limit:
        return None, f"within the noise of its objective it may still gain {still + 2 * error:.2g} nats"
    if left is None or not math.isfinite(left):
        return None, NO_END
    if left > most_left:
        return None, f"what it gains is little, but may add up to {left:.2g} nats; raise optimizer.inner.lr or steps"
    return True, None


def convergence_warnings(
    ranking: Sequence[RankingEntry], spec: Spec, remedy: str | None, rounds: Sequence[str]
) -> list[str]:
    """Warnings where structures that have not converged could change the result, and what to do about it.

    They could where what is left to gain reaches an entry above; the best one matters in any case, and in a regime of
    several `rounds`, by name, everyone whom it compared. `remedy` is what is to be done in place of adding steps.
    """
    scores = [entry.score + entry.log_prior for entry in ranking]
    behind = [number for number, entry in enumerate(ranking) if entry.converged is False]
    if not behind:
        return []
    rising = [number for number in behind if number and most_of(ranking[number]) >= scores[number - 1] - scores[number]]
    reach_best = [number for number in rising if most_of(ranking[number]) >= scores[0] - scores[number]]
    concerned = [0] * (0 in behind) or reach_best or rising
    steps = numbers_of_steps(spec)[-1]
    factor = max(steps_factor(ranking[number]) for number in (concerned or behind))
    about = "at least" if factor >= MOST_STEPS else "about"
    more = f"raise optimizer.inner.steps from {steps:,} to {about} {rounded(factor * steps):,}, or optimizer.inner.lr"
    to_do = f"in a new run directory, {more if remedy is None else remedy}"
    of_all = f"{len(behind)} of {counted(len(ranking), 'structure')}"
    found = []
    if concerned:
        first = concerned[0]
        gain = f"would gain about {ranking[first].still_gaining:.2g} nats in as many steps again"
        what = f"the best, {structure_name(ranking[0].structure)}, {gain}"
        if first:
            target = "the best" if reach_best else "the one above"
            what = f"{structure_name(ranking[first].structure)} {gain} and may rise past {target}"
        found.append(f"{of_all} had not converged: {what}; {to_do}")
    if len(rounds) > 1:
        found.append(
            f"{of_all} had not converged when {spec.regime.type} used their "
            f"scores to choose the next ones, so that it may have missed better ones; {to_do}, or optimizer.restarts"
        )
    return found


def scale_remedy(spec: Spec, inputs: np.ndarray, targets: np.ndarray) -> str | None:
    """What to do about prepared inputs or targets far from the scale of 1 that training steps are made for."""
    for part, values, is_asked in (
        ("targets", targets, spec.data.standardize.targets),
        ("inputs", inputs, spec.data.standardize.inputs),
    ):
        if is_asked or not np.issubdtype(values.dtype, np.floating) or not len(values):
            continue
        sizes = np.sqrt(np.square(values.reshape(len(values), -1).astype(float)).mean(0))
        worst = max(sizes, key=lambda size: abs(math.log(size)) if size > 0 else 0.0)
        if worst > 0 and abs(math.log(worst)) > math.log(FAR_FROM_ONE):
            return f"set data.standardize.{part}: true, since {part} of size {worst:.2g} are used without scaling"
    return None


def most_of(entry: RankingEntry) -> float:
    """What is left to gain, ∞ where that isn't known."""
    return math.inf if entry.left_to_gain is None else entry.left_to_gain


def steps_factor(entry: RankingEntry) -> float:
    """By how much to multiply the steps so that half of `LIMIT` is left to gain, if the gain slows down as it has."""
    most, still = most_of(entry), entry.still_gaining or 0.0
    if not math.isfinite(most) or most <= still:
        return MOST_STEPS if still > LIMIT else 2.0
    runs = math.log(max(most / (0.5 * LIMIT), 1.0)) / -math.log1p(-still / most)
    return min(max(1 + runs, 2.0), MOST_STEPS)


def rounded(steps: float) -> int:
    """A number of steps with two digits."""
    digits = 10 ** max(0, math.floor(math.log10(steps)) - 1)
    return int(math.ceil(steps / digits) * digits)

"""How much a stage's objective would still gain: measured at the end of the stage, for every member.

L is compared, with the same random numbers, at the end and at the means of θ over two earlier parts of the steps, and
beyond the end on the straight line along which θ has moved. Time is measured by the learning rate, τ = Σ rate: under a
rate that decays to zero the last steps hardly move anything, so that they gain little however far away the maximum is.
Under a rate that is tiny throughout nothing slows down either: so the line is also followed far enough to matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from ..objective.levels import Metaparameters, inner_level, one_level
from .stage_inputs import Sources
from .step import StepInputs, StepState
from .stepping import Stepping, begun

PARTS = ((0.25, 0.5), (0.5, 0.75))
"""Shares of the steps over which θ is averaged."""

MOST_LOOKS = 64
"""The largest number of steps that are averaged."""

STRETCHES = (2.0, 8.0, 32.0)
"""How far beyond the end L is looked at, in lengths of the way from the later average to the end."""

DISTANCES = (0.01, 0.1, 1.0)
"""How far L is looked at besides where that is beyond `STRETCHES`: the largest change of any number of a member.

Numbers are in the coordinates of training, in which weights, their log scales and log precisions are of order 1.
"""

FLAT = 0.01
"""Nats: a line on which L rises by less, as far as it is looked at, has no more to gain."""

SHARE_OF_STEPS = 0.03
"""What the measure may cost, as a share of the steps of the stage, where that is enough for `LEAST_PAIRS`."""

LEAST_PAIRS, MOST_PAIRS = 3, 64
"""Pairs of samples of opposite noise that L is estimated from."""

CONFIDENCE = 0.95
"""Of the interval for a gain. Few pairs may agree by chance, so that its width is Student's and not the normal's."""

ROUNDING = 4.0
"""Error of L by rounding, in units in its last place."""

LEAST_WAY = 1e-30
"""Members whose numbers change by less stand still."""

LEAST_TIME = 1e-12
"""In place of a shorter τ between two points, where a stage has a step or two."""


@dataclass(frozen=True)
class Convergence:
    """For every member, (M,), in nats of the smoothed objective.

    `gained` is what the end has over the mean of θ in the third quarter of the steps, with its standard error
    `gained_se`; `still_gaining` is what as many steps again would gain, and `still_gaining_se` half the distance to its
    upper bound. `left_to_gain` is what all steps to come would gain, extrapolated from the gain as it has slowed down
    and from L on the line ahead, and at least what L is known to be higher by there or at the means. It is no bound,
    since the gain may slow down later than it seems, and infinite where no end of the gain is in sight.
    """

    gained: np.ndarray
    gained_se: np.ndarray
    still_gaining: np.ndarray
    still_gaining_se: np.ndarray
    left_to_gain: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """By name."""
        return dict(vars(self))

    def where_known(self, left: np.ndarray) -> Convergence:
        """With what members are known to have `left` to gain, (M,), in place of what was measured; NaN if it isn't."""
        known, nothing = ~np.isnan(left), np.zeros_like(left)
        return Convergence(
            np.where(known, nothing, self.gained),
            np.where(known, nothing, self.gained_se),
            np.where(known, left, self.still_gaining),
            np.where(known, nothing, self.still_gaining_se),
            np.where(known, left, self.left_to_gain),
        )


@dataclass
class ThetaAverages:
    """Running means of the flat vector over `PARTS` of the steps: `values` (2, P), of the steps in `looks`."""

    values: Tensor
    looks: tuple[range, ...]

    @classmethod
    def of(cls, state: Tensor, steps: int) -> ThetaAverages:
        """Before the first of so many steps; each average is of one of them at least."""
        looks = []
        for begin, end in PARTS:
            first = int(begin * steps)
            length = max(1, int(end * steps) - first)
            looks.append(range(first, first + length, -(-length // MOST_LOOKS)))
        return cls(state.new_zeros((len(PARTS), len(state))), tuple(looks))

    def before(self, step: int, state: Tensor) -> None:
        """Take in what a step starts from, where that is due."""
        for value, looks in zip(self.values, self.looks, strict=True):
            if step in looks:
                value.add_((state - value) / (1 + looks.index(step)))

    def times(self, rates: np.ndarray) -> np.ndarray:
        """The mean τ of each average, and τ of the end, in units of the whole: (3,), rising to 1."""
        before = np.concatenate([[0.0], np.cumsum(rates)])
        whole = before[-1] or 1.0
        return np.array([*(before[list(looks)].mean() for looks in self.looks), before[-1]]) / whole


def pairs_of(steps: int, is_exact: bool) -> int:
    """Pairs of samples that the measure takes: as many as its share of the steps allows; 0, one sample, if exact."""
    if is_exact:
        return 0
    points = 1 + len(PARTS) + len(STRETCHES) + len(DISTANCES)
    return int(min(max(SHARE_OF_STEPS * steps / (2 * points), LEAST_PAIRS), MOST_PAIRS))


def width(pairs: int) -> float:
    """Half the interval for a mean of so many pairs, in standard errors: Student's t with pairs − 1 degrees of freedom.

    4.3 for 3 pairs, 2.0 for 64; 2 where L is known but for rounding.
    """
    return 2.0 if pairs == 0 else float(stdtrit(pairs - 1, 0.5 * (1 + CONFIDENCE)))


def measured(stepping: Stepping, end: Tensor, averages: ThetaAverages) -> Convergence:
    """The measure at the end (P,) of a stage, with noise of its own."""
    setup, bound = stepping.stage.inputs.setup, stepping.stage.objectives.bound
    tables, exact = setup.tables, bound.is_exact
    pairs = pairs_of(tables.steps, exact and not stepping.stage.inputs.draws_rows)
    early, late = averages.values
    ahead, moved = lines_ahead(stepping, end, late)
    points = [early, late, *(end + each for each in ahead)]
    values = Values(stepping, end, begun(end.clone(), stepping.stage.members, stepping.inner))
    sources = Sources.of(bound, setup.keys, "measure", end.device)
    at_end, gaps = [], []
    for sample in range(max(1, 2 * pairs)):
        inputs = stepping.stage.inputs.of_measure(sources, sample)
        at_end.append(values.at(end, inputs))
        gaps.append(torch.stack([at_end[-1] - values.at(point, inputs) for point in points]))
    size, found = (torch.stack(each).double().cpu().numpy() for each in (at_end, gaps))
    rounding = ROUNDING * torch.finfo(end.dtype).eps * np.abs(size).mean(0)
    if pairs:
        found = 0.5 * (found[::2] + found[1::2])
    times = averages.times(tables.rate.double().cpu().numpy())
    with np.errstate(invalid="ignore"):  # L may be −∞ or NaN away from the end, where rates overflow
        mean = found.mean(0)
        error = found.std(0, ddof=1) / np.sqrt(pairs) if pairs else np.zeros_like(mean)
    return of_gains(mean, np.hypot(error, rounding), width(pairs), times, moved)


@np.errstate(invalid="ignore")
def of_gains(
    mean: np.ndarray, error: np.ndarray, halfwidth: float, times: np.ndarray, moved: np.ndarray
) -> Convergence:
    """The measure, from what the end has over the two averages of θ and over the points ahead, (points, M).

    `halfwidth` is that of an interval, in standard errors. Where L isn't finite ahead the line ends, as where it falls,
    and a gain from where it wasn't says nothing of how it slows down; NaN where it wasn't at the later average.
    """
    margin = halfwidth * error
    line = Ahead.of(-mean[2:], margin[2:], moved)
    likely = Trend.of(mean[0], mean[1], times)
    highest = Trend.of(np.maximum(mean[0], mean[1]), mean[1] + margin[1], times)
    still = np.where(np.isfinite(mean[1]), np.maximum(likely.next, line.near), np.nan)
    # Steps that jump about may end below the means of those before: that they rise shows in the means alone.
    drift = np.where(mean[1] < 0, (mean[0] - mean[1]) / max(times[1] - times[0], LEAST_TIME), 0.0)
    most = np.maximum(highest.next, np.maximum(drift, still))
    everything = np.where(np.isinf(highest.all), line.most, highest.all)
    passed = np.nan_to_num(-mean[:2] - margin[:2], nan=0.0, neginf=0.0).max(0)
    left = np.maximum.reduce([everything, most, line.far, passed])
    return Convergence(mean[1], error[1], still, 0.5 * (most - still), left)


def lines_ahead(stepping: Stepping, end: Tensor, late: Tensor) -> tuple[list[Tensor], np.ndarray]:
    """Ways (P,) from the end on the line of every member from the later average, the shortest first; who moved, (M,).

    They are of `STRETCHES`, then of `DISTANCES`, but no shorter than the longest stretch.
    """
    entries = stepping.stage.entries
    way = end - late if stepping.levels == 1 else torch.where(entries.of_h, torch.zeros_like(end), end - late)
    owner = entries.member_of
    largest = way.new_zeros(stepping.stage.members).scatter_reduce_(0, owner, way.abs(), "amax")
    moved = largest > LEAST_WAY
    far = [(distance / largest.clamp(min=LEAST_WAY)).clamp(min=STRETCHES[-1]) for distance in DISTANCES]
    ways = [*(stretch * way for stretch in STRETCHES), *(each.index_select(0, owner) * way for each in far)]
    return ways, moved.cpu().numpy()


@dataclass(frozen=True)
class Ahead:
    """What L has over the end on the line ahead, (M,) each: for certain at `STRETCHES` (`near`) or anywhere (`far`).

    `most` is the most that it may have, infinite where the line goes on to rise, or where a member hasn't moved.
    """

    near: np.ndarray
    far: np.ndarray
    most: np.ndarray

    @classmethod
    def of(cls, gain: np.ndarray, margin: np.ndarray, moved: np.ndarray) -> Ahead:
        """From the gain at each way from the end, (ways, M), and the half-width of its interval; `moved` is (M,).

        The line has an end where L falls for certain, or isn't finite any more, or where even the longest way has
        nothing of note to gain.
        """
        finite = np.isfinite(gain) & np.isfinite(margin)
        lowest, highest = (np.where(finite, each, 0.0) for each in (gain - margin, gain + margin))
        falls = ~finite | (highest < 0)
        ends = moved & (falls.any(0) | (highest[-1] < FLAT))
        before = ~np.logical_or.accumulate(falls, axis=0)
        certain = np.maximum(lowest, 0.0)
        near = certain[: len(STRETCHES)].max(0)
        far = np.where(before, certain, 0.0).max(0)
        most = np.where(ends, np.where(before, highest, 0.0).max(0), np.inf)
        return cls(near, far, most)


@dataclass
class Values:
    """The objective of every member, (M,), at any flat vector and sample of the noise; h is that of the `end`."""

    stepping: Stepping
    end: Tensor
    scratch: StepState

    def at(self, flat: Tensor, inputs: StepInputs) -> Tensor:
        """L, or with one level Q / c_train: what the steps raise."""
        stage, levels = self.stepping.stage, self.stepping.levels
        values = flat if levels == 1 else torch.where(stage.entries.of_h, self.end, flat)
        self.scratch.optimizer.values.copy_(values)
        terms = self.stepping(self.scratch, stage.inputs.setup.tables.steps - 1, inputs, moves=False)
        at = Metaparameters(*inputs.metaparameters)
        return one_level(terms, at) if levels == 1 else inner_level(terms, at)


@dataclass(frozen=True)
class Trend:
    """What the objective gains in as much τ `next` as the stage has had, and in `all` of the future, (M,)."""

    next: np.ndarray
    all: np.ndarray

    @classmethod
    def of(cls, early: np.ndarray, late: np.ndarray, times: np.ndarray) -> Trend:
        """If the rate of the gain goes on to fall as it has fallen; not finite where it hasn't.

        `early` and `late` (M,) are what the end has over the averages, whose τ are the first two of `times`. With the
        rates of gain r₁ between the averages and r₂ from the later one to the end, at the τ half-way,
        r(τ) = r₂ e^{−λ(τ − τ₂)} with λ = log(r₁ / r₂) / (τ₂ − τ₁): ∫ r from 1 to 2, and to ∞.
        """
        first, second, end = times
        late = np.maximum(late, 0.0)
        later = late / max(end - second, LEAST_TIME)
        earlier = (early - late) / max(second - first, LEAST_TIME)
        with np.errstate(divide="ignore", invalid="ignore"):
            decay = np.log(earlier / later) / max(0.5 * (end - first), LEAST_TIME)
            decay = np.where((later > 0) & (earlier > later) & np.isfinite(earlier), decay, 0.0)
            now = later * np.exp(-decay * 0.5 * (end - second))
            everything = np.where(now > 0, now / decay, 0.0)
            following = np.where(decay > 0, -np.expm1(-decay) * everything, now)
        return cls(following, everything)

"""Linear structures of a population as problems of their own, and the way between them and the parameters.

Each is solved for itself, member by member, so that a member's numbers don't depend on its batch-mates. It is in
float64, on the device of the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.func import vmap

from ..errors import FunctionError
from ..model.layout import FunctionBlock, WeightGroup
from ..model.network import checked_value, named_function
from ..objective.bound import Bound
from ..objective.guarded_weights import GuardedPosterior
from ..objective.parameters import Parameters
from ..objective.weights_posterior import Factor
from ..plugins import Options
from ..plugins.calling import Calling
from ..plugins.registry import registry
from ..spec.graph import OUTPUT
from .linear_family import LinearFamily
from .linear_hyperparameters import LinearFit, LinearProblem
from .linear_members import LinearMembers, fixed_values, linear_members, rows_of
from .linear_model import Gaussian, LinearModel, points_of
from .linear_optimum import LEAST_FACTOR

MOST_FEATURES = 2**25
"""Numbers of Φ, or of outputs at all points of a rule, at most (256 MiB): of more rows every second, third, … is taken,
and counts as often.
"""

MOST_SIDE = 1024
"""Side of a matrix at most (8 MiB, a few of them at a time, of one member). Under a diagonal q it is the smaller of the
numbers of weights and of outputs of all rows, under a full one that of weights.
"""


WHOLE = "full"
"""The family of all normal distributions."""


@dataclass(frozen=True)
class Level:
    """What L is made of: rows x (rows, *input_shape) and y (rows, …), the factor c_reg of the KL, weights (M, rows) of
    the rows, each of which counts `row_weight` times; and c_train where h rises with θ, on L + log p(h) / c_train.

    Where the bound has `own_rows`, x and y have the axis of members before that of rows.
    """

    x: Tensor
    y: Tensor
    c_reg: float = 1.0
    row_weights: Tensor | None = None
    row_weight: float = 1.0
    c_train: float | None = None


class Place(NamedTuple):
    """Where a log precision is: its owner, its key there, the row, and the position within the row."""

    owner: int
    key: str
    row: int
    position: int

    def of(self, parameters: Parameters) -> Tensor:
        """The tensor that it is in."""
        return parameters.hyper.log_precision[self.owner][self.key]


@dataclass(frozen=True)
class LinearStructure:
    """A linear structure: its members, features Φ (n, rows, out), outputs at w = 0, targets, and counts (M, rows).

    `whole` says whether all rows are there.
    """

    bound: Bound
    level: Level
    members: LinearMembers
    features: Tensor
    offset: Tensor
    y: Tensor
    counts: Tensor
    whole: bool
    grams: dict[bytes, dict[str, Tensor]] = field(default_factory=dict)

    @property
    def groups(self) -> list[WeightGroup]:
        """Its weight groups."""
        return [self.bound.population.layout.groups[number] for number in self.members.groups]

    def slot(self, number: int, member: int) -> int:
        """The slot of a member in a weight group."""
        return int(self.bound.population.groups[number].positions[member])

    def precisions(self, member: int) -> tuple[list[Place], Tensor]:
        """Where its learned log precisions are, and for every weight the number of its own, (n,)."""
        numbers: dict[Place, int] = {}
        whose, prior = [], self.bound.prior
        for number, group in zip(self.members.groups, self.groups, strict=True):
            row = member if prior.options.grouping == "shared" else self.slot(number, member)
            for name, shape in group.shapes.items():
                owner, key = prior.owner_of(number, name)
                for position in range(int(torch.Size(shape).numel())):
                    place = Place(owner, key, row, position if prior.options.grouping == "per_parameter" else 0)
                    whose.append(numbers.setdefault(place, len(numbers)))
        return list(numbers), torch.tensor(whose, dtype=torch.int64, device=self.features.device)

    def problem(self, parameters: Parameters, member: int) -> LinearProblem:
        """The problem of a member; weights that its masks remove have no features."""
        bound, level = self.bound, self.level
        kept = self.kept(parameters, member)
        features = self.features if bool((kept == 1).all()) else self.features * kept[:, None, None]
        counts = self.counts[member]
        key = kept.cpu().numpy().tobytes() + counts.cpu().numpy().tobytes()
        grams = self.grams.setdefault(key, {})
        model = LinearModel(bound.likelihoods[member], features, self.offset, self.y, counts, grams)
        proper = level.c_reg >= LEAST_FACTOR
        learned = bound.prior.learned and proper and self.family.has_density
        learns_own = bool(bound.likelihood.parameters(bound.out_shape)) and not self.holds_h
        owner = self.precisions(member)[1] if bound.prior.learned else torch.zeros_like(kept, dtype=torch.int64)
        determined = proper or self.members.size < int((counts > 0).sum()) * features.shape[2]
        return LinearProblem(
            model, kept, level.c_reg, self.family, owner, level.c_train if learned else None,
            bound.prior.options.hyperprior, learns_own and determined,
        )  # fmt: skip

    def kept(self, parameters: Parameters, member: int) -> Tensor:
        """1 for weights of a member that are kept, 0 for those that were removed, (n,)."""
        rows = [torch.ones(0, dtype=torch.float64)]
        for number, group in zip(self.members.groups, self.groups, strict=True):
            mask = parameters.kept[number] if parameters.kept else None
            rows.append(torch.ones(group.size) if mask is None else mask[self.slot(number, member)])
        return torch.cat([row.to(self.features.device, torch.float64) for row in rows])

    def given(self, parameters: Parameters, member: int, problem: LinearProblem) -> LinearFit:
        """What the parameters hold of a member."""
        own = {name: value[member] for name, value in parameters.theta.likelihood.items()}
        if self.bound.prior.learned:
            values = [place.of(parameters)[place.row].flatten()[place.position] for place in self.precisions(member)[0]]
            log_precisions = torch.stack(values) if values else self.features.new_zeros(0)
        else:
            log_precisions = self.features.new_tensor([self.bound.prior.options.start]).log()
        if self.is_exact:
            return problem.best_q(own, log_precisions)
        return problem.fit(self.posterior(parameters, member), own, log_precisions)

    @property
    def factors(self) -> list[Factor]:
        """The factors of q(w) that hold its weights, in their order."""
        return [each for each in self.bound.weights.factors if each.groups[0] in self.members.groups]

    @property
    def family(self) -> LinearFamily:
        """The family of q(w), or that of all normal distributions where it fits the curvature, which is then exact."""
        if self.is_exact:
            return LinearFamily(whole_family(), (self.members.size,))
        return LinearFamily(self.bound.weights.family, tuple(factor.size for factor in self.factors))

    @property
    def is_exact(self) -> bool:
        """Whether the curvature that q fits is all there is: its evidence is then the bound of the best normal q."""
        return is_exact(self.bound)

    @property
    def holds_h(self) -> bool:
        """Whether h, the likelihood's own parameters among it, isn't for the members' own maximum to choose."""
        return self.bound.weights.family.plugin.fits_curvature and not self.is_exact

    def posterior(self, parameters: Parameters, member: int) -> Gaussian:
        """q(w) of a member."""
        weights, own = self.bound.weights, []
        for factor in self.factors:
            slot = self.slot(factor.groups[0], member)
            own.append({name: value[slot] for name, value in weights.own(parameters, factor).items()})
        return self.family.gaussian(own, self.features)

    def put(self, parameters: Parameters, member: int, fit: LinearFit) -> None:
        """Put what was found of a member in place of what is there."""
        for name, value in fit.own.items():
            parameters.theta.likelihood[name][member] = value
        if self.bound.prior.learned:
            for place, value in zip(self.precisions(member)[0], fit.log_precisions, strict=True):
                place.of(parameters)[place.row].view(-1)[place.position] = value
        means = fit.q.mean.split([factor.size for factor in self.factors])
        spreads = [{}] * len(means) if self.is_exact else fit.q.held
        for factor, mean, held in zip(self.factors, means, spreads, strict=True):
            slot = self.slot(factor.groups[0], member)
            for name, value in {"mean": mean, **held}.items():
                parameters.theta.weights[factor.number][name][slot] = value


def is_exact(bound: Bound) -> bool:
    """Whether q fits the whole curvature of a likelihood that is normal."""
    family = bound.weights.family
    return family.plugin.fits_curvature and bound.likelihood.is_normal and family.curvature() == "full"


def whole_family() -> GuardedPosterior:
    """All normal distributions."""
    registration = registry().of_kind("weight_posteriors")[WHOLE]
    return GuardedPosterior(registration.plugin, cast("Options", registration.options()))


def linear_structures(bound: Bound, level: Level, most_weights: int | None = None) -> Iterator[LinearStructure]:
    """The linear structures of a population, one at a time, of `most_weights` weights at most."""
    family = bound.weights.family.plugin
    if not bound.prior.family.plugin.is_normal or not (family.is_normal or not family.has_density):
        return
    out = int(torch.Size(bound.out_shape).numel())
    for members in linear_members(bound):
        all_x, all_y = (rows_of(bound, members, values) for values in (level.x, level.y))
        numbers = max(members.size, points_of(bound.likelihood, out)) * len(all_x) * out
        stride = max(1, -(-numbers // MOST_FEATURES))
        x, y = all_x[::stride].double(), all_y[::stride].double()
        narrow = family.independent and not is_exact(bound)
        side = min(members.size, len(x) * out) if narrow else members.size
        if side > MOST_SIDE or (most_weights is not None and members.size > most_weights):
            continue
        rows = [group_features(bound, members.blocks, number, x) for number in members.groups]
        features = torch.cat([x.new_zeros((0, len(x), out)), *rows])
        offset = output_without_weights(bound, members.blocks, x)
        weights = x.new_ones((bound.population.size, len(x)))
        if level.row_weights is not None:
            weights = level.row_weights[:, ::stride].double()
        counts = weights * (level.row_weight * len(all_x) / len(x))
        yield LinearStructure(bound, level, members, features, offset, y, counts, stride == 1)


def group_features(bound: Bound, blocks: Sequence[Sequence[FunctionBlock]], number: int, x: Tensor) -> Tensor:
    """What each weight of a group adds to a structure's output: (size, rows, out), flat over the output's axes."""
    layout = bound.population.layout
    group = layout.groups[number]
    block = next(block for row in blocks for block in row if block.group == number)
    units = group.split(torch.eye(group.size, dtype=x.dtype, device=x.device))
    fixed = fixed_values(layout, blocks, layout.graph.edges[block.edge].source, x)
    name, method = named_function(layout, block), "forward"
    with Calling(type(block.function), method, name, FunctionError):
        features = vmap(block.function.forward, (0, None))(units, fixed)
    checked_value(name, method, block.function, features, fixed, leading=1)
    return features.flatten(2)


def output_without_weights(bound: Bound, blocks: Sequence[Sequence[FunctionBlock]], x: Tensor) -> Tensor:
    """f at w = 0, (rows, *out_shape): what functions without weights alone make."""
    without = [[block for block in row if block.group is None] for row in blocks]
    return fixed_values(bound.population.layout, without, OUTPUT, x)

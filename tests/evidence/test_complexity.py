"""Complexities of members against scipy's minimum, closed forms and torch.distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import studies
import torch
from handmade import (
    DOUBLE,
    by_weight,
    chosen_by,
    edge,
    fn,
    graph,
    group_name,
    keys_of,
    make_bound,
    normal,
    perturbed,
    pick,
    population,
    rich_graph,
    start,
    structures,
)
from scipy.optimize import minimize
from scipy.stats import chi2
from torch.distributions import Normal, RelaxedOneHotCategorical, kl_divergence

from structflow.evidence.complexity import (
    complexities,
    differential_entropy,
    informative_weights,
    parametric_complexity,
    relative_density,
    rounded_entropy,
    structural_divergence,
)
from structflow.evidence.trained import TrainedPopulation

RICH = rich_graph()
X, Y = normal(6, 3, seed=1), normal(6, 1, seed=2)
CHOICE = graph(
    {"x": (3,), "h": (2,), "y": (1,)},
    edge("x", "h", "one", fn("dense"), fn("linear"), fn("dense", activation="relu")),
    edge("h", "y", "any", fn("linear"), fn("dense")),
)
THETA = 0.7
"""Temperature of q."""


def trained_at(members, change=perturbed, c_temp: float = 0.7, **settings) -> TrainedPopulation:
    bound = make_bound(members, **settings)
    return TrainedPopulation(bound, bound.of_labels(change(start(bound))), keys_of(members), X, Y, c_temp)


def relaxed(c_temp: float, learned: bool = True, **structure) -> TrainedPopulation:
    return trained_at(
        population(CHOICE, [None] * 3, [0, 1, 2]),
        c_temp=c_temp,
        prior={"structure": {"type": "gumbel_softmax", "learned": learned, **structure}},
        posterior={"structure": {"temperature": THETA}},
    )


def logistic_log_density(z: torch.Tensor, log_s: torch.Tensor, c: float) -> torch.Tensor:
    """log p(z) = log c + a − 2 log(1 + e^a), a = log s − c z."""
    a = log_s - c * z
    return (math.log(c) + a - 2 * torch.log1p(a.exp())).sum(-1)


def log_densities(trained: TrainedPopulation, member: int, drawn, log_s: dict[str, torch.Tensor], c: float):
    """log p of the samples of a member, (S,)."""
    simplex = RelaxedOneHotCategorical(torch.tensor(c, dtype=DOUBLE), logits=log_s["x->h"])
    return simplex.log_prob(drawn.coordinates["x->h"][member].exp()) + logistic_log_density(
        drawn.coordinates["h->y"][member], log_s["h->y"], c
    )


def test_it_is_the_least_divergence_over_a_learned_prior():
    """Temperature 0.7 of q and 1.3 of p: scipy's log s on 300 samples, its divergence on 300 others."""
    trained = relaxed(1.3)
    found = structural_divergence(trained, 300)
    fitted_on, fresh = (trained.structure_samples(300, phase) for phase in ("complexity", "fresh complexity"))
    for member in range(3):
        own = {key: trained.parameters.theta.structure[key][member] for key in ("x->h", "h->y")}

        def loss(flat: np.ndarray, drawn=fitted_on, member=member, own=own) -> float:
            log_s = {"x->h": torch.tensor([*flat[:2], 0.0], dtype=DOUBLE), "h->y": torch.tensor(flat[2:], dtype=DOUBLE)}
            log_q = log_densities(trained, member, drawn, own, THETA)
            return float((log_q - log_densities(trained, member, drawn, log_s, 1.3)).mean())

        best = minimize(loss, np.zeros(4), method="BFGS")
        assert float(found[member]) == pytest.approx(loss(best.x, fresh), abs=1e-4)
        assert abs(loss(best.x, fresh) - loss(np.zeros(4), fresh)) > 1e-3  # it was fitted
        assert loss(best.x, fresh) > 0.05  # temperatures differ: no s makes p into q


def test_it_is_zero_where_the_temperatures_are_equal():
    """At s = s_q the divergence is 0. With δ the error of the fit on S samples, g the slope on S others and F the
    Fisher information of 4 numbers, it is ½ δᵀFδ − δᵀg, where S δᵀFδ and S gᵀF⁻¹g are χ²: within 1.5 χ²/S.
    """
    found = structural_divergence(relaxed(THETA), 4000)
    assert (found.abs() < 1.5 * chi2(4).ppf(1 - 1e-6) / 4000).all()


def test_it_is_the_divergence_itself_where_the_prior_is_set():
    """Uniform on the simplex, odds of 0.4 on the cube, temperature 1.3; over the same 300 samples."""
    trained = relaxed(1.3, learned=False, concentration=0.4)
    found, drawn = structural_divergence(trained, 300), trained.structure_samples(300, "fresh complexity")
    prior = {"x->h": torch.zeros(3, dtype=DOUBLE), "h->y": torch.full((2,), math.log(0.4), dtype=DOUBLE)}
    for member in range(3):
        own = {key: trained.parameters.theta.structure[key][member] for key in prior}
        ratio = log_densities(trained, member, drawn, own, THETA) - log_densities(trained, member, drawn, prior, 1.3)
        assert float(found[member]) == pytest.approx(float(ratio.mean()), rel=1e-10)


def test_few_samples_are_raised_to_enough_to_fit_on():
    """16 samples for 4 numbers would be fitted too well: no fewer than 256 are drawn."""
    assert torch.equal(structural_divergence(relaxed(1.3), 16), structural_divergence(relaxed(1.3), 256))


def test_a_member_that_diverged_leaves_the_others():
    """The least divergence of a member doesn't depend on the members beside it, be they not a number."""
    whole, broken = relaxed(1.3), relaxed(1.3)
    broken.parameters.theta.structure["x->h"][1] = torch.nan
    expected, found = structural_divergence(whole, 100), structural_divergence(broken, 100)
    assert bool(found[1].isnan())
    torch.testing.assert_close(found[[0, 2]], expected[[0, 2]], rtol=0, atol=1e-4)


def test_a_discrete_structure_has_no_divergence():
    trained = trained_at(population(RICH, pick(structures(RICH), 3, 1)))
    assert structural_divergence(trained, 10).tolist() == [0.0] * 3
    assert differential_entropy(trained, 10).tolist() == [0.0] * 3


def test_differential_entropy():
    """Two logits are logistic of scale 1/θ: 2 − log θ each. The simplex by 40,000 draws of torch's, within 5 σ."""
    trained, draws = relaxed(1.3), 40_000
    found = differential_entropy(trained, draws)
    torch.manual_seed(0)
    for member in range(3):
        log_s = trained.parameters.theta.structure["x->h"][member]
        simplex = RelaxedOneHotCategorical(torch.tensor(THETA, dtype=DOUBLE), logits=log_s)
        values = -simplex.log_prob(simplex.sample((draws,)))
        expected = float(values.mean()) + 2 * (2 - math.log(THETA))
        logistic = 2 * (4 - math.pi**2 / 3)  # var of −log p = −log u (1 − u): 1 + 1 + 2 cov = 4 − π²/3
        error = math.sqrt(2 * (float(values.var()) + logistic) / draws)
        assert float(found[member]) == pytest.approx(expected, abs=5 * error)


def test_entropy_of_the_rounded_structure():
    """Uniform over 3 and two fair coins: log 3 + 2 log 2; certain: 0."""
    even = {"x->h": torch.full((1, 3), 1 / 3, dtype=DOUBLE), "h->y": torch.full((1, 2), 0.5, dtype=DOUBLE)}
    sure = {"x->h": torch.tensor([[0.0, 1, 0]], dtype=DOUBLE), "h->y": torch.tensor([[1.0, 0]], dtype=DOUBLE)}
    spaces = {"x->h": "one", "h->y": "any"}
    assert float(rounded_entropy(even, spaces)) == pytest.approx(math.log(3) + 2 * math.log(2))
    assert float(rounded_entropy(sure, spaces)) == 0.0


def own_weights(trained: TrainedPopulation, member: int):
    """(group, weight, μ, √α, its position) of every weight tensor a member uses."""
    members = trained.bound.population
    names = chosen_by(RICH, members.members[member].structure)
    used = {group_name(link, f) for link in RICH.edges for f in link.functions if f.name in names[link.key]}
    for group, index in zip(members.layout.groups, members.groups, strict=True):
        slot = int(index.positions[member])
        for name in group.shapes if group.name in used else ():
            mean, log_sd = (
                by_weight(members, trained.bound.labelled(trained.parameters), kind, group.name)[name][slot]
                for kind in ("mean", "log_sd")
            )
            yield group.name, name, mean, log_sd.exp(), slot


@pytest.mark.parametrize("roomy", [False, True])
def test_relative_density(roomy):
    """−Σ [log q(w = 0) − log q(w = μ)]."""
    room = {"capacities": [[8] * len(link.functions) for link in RICH.edges]} if roomy else {}
    trained = trained_at(population(RICH, pick(structures(RICH), 6, 1), **room))
    found = relative_density(trained)
    for member in range(6):
        expected = sum(
            float((Normal(mean, sd).log_prob(mean) - Normal(mean, sd).log_prob(torch.zeros_like(mean))).sum())
            for _, _, mean, sd, _ in own_weights(trained, member)
        )
        assert float(found[member]) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("precision", ["shared", "per_function", "per_parameter", 2.5])
def test_informative_weights(precision):
    """The count of torch's KL(N(μ, α) ‖ N(0, 1/A)) above a threshold near their median, weight by weight."""
    members = population(RICH, pick(structures(RICH), 6, 1))
    trained = trained_at(members, prior={"weights": {"precision": precision}})
    of_members = []
    for member in range(6):
        kls = []
        for group, name, mean, sd, slot in own_weights(trained, member):
            key = {"shared": "log_precision", "per_function": f"log_precision/{group}"}.get(
                precision, f"log_precision/{group}/{name}"
            )
            at = member if precision == "shared" else slot
            log_a = (
                torch.tensor(math.log(2.5), dtype=DOUBLE)
                if precision == 2.5
                else trained.bound.labelled(trained.parameters)[key][at]
            )
            kls.append(kl_divergence(Normal(mean, sd), Normal(torch.zeros_like(mean), (-0.5 * log_a).exp())).flatten())
        of_members.append(torch.cat(kls))
    threshold = float(torch.cat(of_members).median()) + 1e-3
    assert informative_weights(trained, threshold).tolist() == [int((kls > threshold).sum()) for kls in of_members]
    assert informative_weights(trained, 0.0).tolist() == [len(kls) for kls in of_members]


def test_every_weight_of_a_point_counts():
    trained = trained_at(population(RICH, pick(structures(RICH), 4, 1)), posterior={"weights": {"type": "point"}})
    spread_out = trained_at(population(RICH, pick(structures(RICH), 4, 1)))
    counts = [sum(mean.numel() for _, _, mean, _, _ in own_weights(spread_out, member)) for member in range(4)]
    assert informative_weights(trained, 0.5).tolist() == counts


@pytest.mark.parametrize("grouping", ["shared", "per_function", "per_parameter"])
def test_parametric_complexity_is_the_least_divergence_over_precisions(grouping):
    """Each precision is minimised by itself with scipy, over the sum of torch's divergences of its weights."""
    trained = trained_at(population(RICH, pick(structures(RICH), 2, 1)), prior={"weights": {"precision": grouping}})
    found = parametric_complexity(trained)
    for member in range(2):
        sets: dict[object, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        for group, name, mean, sd, _ in own_weights(trained, member):
            for number, (m, s) in enumerate(zip(mean.flatten(), sd.flatten(), strict=True)):
                key = {"shared": 0, "per_function": group}.get(grouping, (group, name, number))
                sets.setdefault(key, []).append((m, s))
        least = 0.0
        for pairs in sets.values():
            mean, sd = (torch.stack(values) for values in zip(*pairs, strict=True))

            def loss(log_a: np.ndarray, mean=mean, sd=sd) -> float:
                prior = Normal(torch.zeros_like(mean), math.exp(-0.5 * float(log_a[0])))
                return float(kl_divergence(Normal(mean, sd), prior).sum())

            least += minimize(loss, [0.0], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-12}).fun
        assert float(found[member]) == pytest.approx(least, rel=1e-7)


def test_a_point_has_no_divergence_and_no_density():
    """KL and ρ are infinite for it: not a number, while the structure's entropies stay."""
    point = complexities(
        trained_at(population(CHOICE, [None, None], [0, 1]), posterior={"weights": {"type": "point"}}), 20
    )
    assert point["c_param"].isnan().all()
    assert point["relative_density"].isnan().all()
    assert (point["c_struct"] > 0).all()
    assert point["c_struct_differential"].isfinite().all()
    normal_ones = complexities(trained_at(population(CHOICE, [None, None], [0, 1])), 20)
    assert all(value.isfinite().all() and value.shape == (2,) for value in normal_ones.values())


def test_complexities_of_every_stage_are_kept(tmp_path):
    """Two stages of two rounds: arrays of every member in result.zarr, and those of the best in the summary."""
    document = {
        **studies.spec(regime="evidence", evidence={"samples": 16}),
        "stages": [{"optimizer": {"inner": {"steps": 3}}}, {"optimizer": {"inner": {"steps": 2}}}],
    }
    run = studies.run(document, tmp_path / "run")
    stages, dataset = run.summary["stages"], run.context.study.dataset
    assert float(dataset.target_scale[0]) != 1.0
    assert [(each["round"], each["stage"]) for each in stages] == [
        ("relax", 0), ("relax", 1), ("discretise", 0), ("discretise", 1)
    ]  # fmt: skip
    for each in stages:
        tree = run.dataset[f"setting_0/trajectory/{each['round']}/stage_{each['stage']}"]
        assert tree.sizes["member"] == each["members"]
        bound = (tree["log_likelihood"] - tree["kl_weights"] - tree["kl_structure"]).values[:, -1]
        best = int(np.argmax(bound))
        # the density of y in its own units: every training row divided by the scale of the target
        assert each["bound"] == pytest.approx(bound[best] - dataset.n_train * np.log(dataset.target_scale).sum())
        for name in ("c_param", "c_struct", "c_struct_differential", "relative_density"):
            assert tree[name].dims == ("member",)
            assert np.isfinite(tree[name].values).all()
            assert each[name] == pytest.approx(tree[name].values[best])
        assert (each["c_struct"] > 0) == (each["round"] == "relax")

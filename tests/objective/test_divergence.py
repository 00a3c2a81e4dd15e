"""The divergence from the set P against loops over members, samples and p', and torch.distributions.

On an edge of `one` the densities are `RelaxedOneHotCategorical`; on one of `any` the density of Maddison et al. (2017),
appendix B, written out over γ, whose Jacobian to the logit cancels in the difference of two log densities.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from handmade import DOUBLE, edge, fn, graph, keys_of, make_bound, noise_of, normal, perturbed, start
from torch import Tensor
from torch.distributions import RelaxedOneHotCategorical

from structflow.model.population import build_population
from structflow.objective.divergence import SMOOTHING, AgainstSet, ChoiceEdge
from structflow.plugins import Candidate
from structflow.plugins.registry import registry
from structflow.spec.models import Against, Spec
from structflow.spec.structures import OpenSet, Structure

FAMILY = registry().get("structure_distributions", "gumbel_softmax")
OF = graph(
    {"x": (3,), "h": (2,), "y": (1,)},
    edge("x", "h", "one", fn("dense", name="a"), fn("linear", name="b"), fn("dense", activation="relu", name="c")),
    edge("h", "y", "any", fn("linear", name="d"), fn("dense", name="e")),
)
NAMES = {"x->h": ("a", "b", "c"), "h->y": ("d", "e")}
SPACES = {"x->h": "one", "h->y": "any"}
LEFT = OpenSet((("x->h", ("a", "c")), ("h->y", ("e",))))
X, Y = normal(4, 3, seed=1), normal(4, 1, seed=2)
C_TEMP, DEFAULT, SAMPLES = 0.8, 0.6, 3
ENTRIES = (
    Against(concentration={"x->h": (0.5, 2.0, 1.5), "h->y": (0.2, 3.0)}),
    Against(structure={"x->h": ("b",), "h->y": ("d",)}, smoothing=0.1, temperature=0.9),
    Against(structure={"x->h": ("c",)}),  # doesn't name h->y
    Against(of="posterior", concentration={"h->y": (4.0, 0.5)}, temperature=0.7),
    Against(of="posterior", structure={"x->h": ("a",), "h->y": ()}, smoothing=0.2),
    Against(of="posterior", structure={"h->y": ("d", "e")}),
)


def relaxed(left: OpenSet | None = None, members: int = 2):
    return build_population(OF, OF.node_shapes(), [Candidate(None, restart, left) for restart in range(members)])


def bound_of(entries, form: str = "mixture", left: OpenSet | None = None, temperature: float | str = "learned"):
    return make_bound(
        relaxed(left),
        prior={"structure": {"type": "gumbel_softmax", "learned": True}},
        posterior={"structure": {"temperature": temperature}},
        against=AgainstSet(tuple(entries), form, DEFAULT),
    )


def terms_at(bound, parameters, against=None, samples: int = SAMPLES, method: str = "sample_terms"):
    noise = noise_of(bound, keys_of(bound.population), samples)
    given = (parameters, noise, X, Y, torch.tensor(C_TEMP, dtype=DOUBLE), bound.population.indices)
    if method == "terms":
        return bound.terms(*given, torch.ones((), dtype=DOUBLE), against=bound.against if against is None else against)
    return bound.sample_terms(*given, against=bound.against if against is None else against)


def density(space: str, log_s: Tensor, temperature: float, gamma: Tensor) -> Tensor:
    c = torch.tensor(temperature, dtype=DOUBLE)
    if space == "one":
        return RelaxedOneHotCategorical(c, logits=log_s).log_prob(gamma)
    s = log_s.exp()
    top = c * s * gamma ** (-c - 1) * (1 - gamma) ** (-c - 1)
    return (top / (s * gamma**-c + (1 - gamma) ** -c) ** 2).log().sum()


def draw(space: str, log_s: Tensor, temperature: float, uniform: Tensor) -> Tensor:
    if space == "one":
        return ((log_s - (-(1 - uniform).log()).log()) / temperature).softmax(-1)
    return ((log_s + uniform.log() - (1 - uniform).log()) / temperature).sigmoid()


def log_s_of(entry: Against, key: str, names) -> Tensor:
    """What the documentation of the spec says an entry means, function by function."""
    if key in entry.concentration:
        by_name = dict(zip(NAMES[key], entry.concentration[key], strict=True))
        return torch.tensor([by_name[name] for name in names], dtype=DOUBLE).log()
    if key not in entry.structure:
        return torch.zeros(len(names), dtype=DOUBLE)
    e, chosen = entry.smoothing, entry.structure[key]
    picked, others = ((1 - e) / e, e / (1 - e)) if SPACES[key] == "any" else (1 - e, e / (len(names) - 1))
    return torch.tensor([picked if name in chosen else others for name in names], dtype=DOUBLE).log()


def reference(bound, parameters, form: str, open_names) -> Tensor:
    """(M, S): both the divergences of the prior and of the posterior, added."""
    noise = noise_of(bound, keys_of(bound.population), SAMPLES)
    uniforms = bound.uniforms.unpack(noise.uniforms)
    total = torch.zeros(bound.population.size, SAMPLES, dtype=DOUBLE)
    for member, sample, of in itertools.product(range(bound.population.size), range(SAMPLES), ("prior", "posterior")):
        entries = [entry for entry in bound.structure.against.entries if entry.of == of]
        if not entries:
            continue
        kind = {"prior": "prior_structure", "posterior": "structure"}[of]
        temperature = C_TEMP if of == "prior" else float(parameters["structure_temperature"][member].exp())
        own, others = torch.zeros((), dtype=DOUBLE), [torch.zeros((), dtype=DOUBLE) for _ in entries]
        for key, names in open_names.items():
            log_s = parameters[f"{kind}/{key}"][member]
            gamma = draw(SPACES[key], log_s, temperature, uniforms[f"{kind}/{key}"][member, sample])
            own = own + density(SPACES[key], log_s, temperature, gamma)
            others = [
                other + density(SPACES[key], log_s_of(entry, key, names), entry.temperature or DEFAULT, gamma)
                for other, entry in zip(others, entries, strict=True)
            ]
        if form == "sum":
            total[member, sample] += sum(own - other for other in others)
        else:
            total[member, sample] += own - sum(other.exp() for other in others).log() + math.log(len(others))
    return total


CHOICES = {
    "prior": ENTRIES[:3],
    "posterior": ENTRIES[3:],
    "both": ENTRIES,
    "one": ENTRIES[:1],
    "five": ENTRIES[:3] + ENTRIES[:2],
}


@pytest.mark.parametrize("form", ["mixture", "sum"])
@pytest.mark.parametrize("entries", CHOICES.values(), ids=CHOICES.keys())
@pytest.mark.parametrize("left", [None, LEFT], ids=["everything", "restricted"])
def test_divergences_are_what_loops_find(form, entries, left):
    """One of one, three of four and five of eight places; with everything open, or a and c, and e alone."""
    bound = bound_of(entries, form, left)
    parameters = perturbed(start(bound))
    expected = reference(bound, parameters, form, NAMES if left is None else dict(left.edges))
    assert float(expected.abs().min()) > 1e-3
    torch.testing.assert_close(terms_at(bound, parameters).divergence, expected, rtol=1e-9, atol=1e-9)
    averaged = terms_at(bound, parameters, method="terms").divergence
    torch.testing.assert_close(averaged, expected.mean(1), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("form", ["mixture", "sum"])
def test_places_that_are_spare_count_for_nothing(form):
    """Three entries of each kind fill three of four places; whatever stands in the fourth is not read."""
    bound = bound_of(ENTRIES, form)
    parameters = perturbed(start(bound))
    before = terms_at(bound, parameters).divergence
    against = {name: value.clone() for name, value in bound.against.items()}
    for of in ("prior", "posterior"):
        assert against[f"{of}/live"].tolist() == [1, 1, 1, 0]
        assert against[f"{of}/x->h"].shape == (4, 3)
        for name in ("x->h", "h->y", "temperature"):
            against[f"{of}/{name}"][3] = 2.5
    assert torch.equal(terms_at(bound, parameters, against).divergence, before)
    against["prior/x->h"][2, 0] = 2.5  # a place that is taken
    assert not torch.isclose(terms_at(bound, parameters, against).divergence, before).any()


def test_smoothed_structures_as_concentrations():
    """ε = 0.1: on the simplex 0.9 and 0.1/(K − 1), K of what is open; on the cube odds of 9 and 1/9."""
    entry = Against(structure={"x->h": ("a",), "h->y": ("e",)}, smoothing=0.1)
    for left, simplex, cube in [
        (None, [0.9, 0.05, 0.05], [1 / 9, 9]),
        (LEFT, [0.9, 0.1], [9]),
    ]:
        tensors = bound_of([entry], left=left).against
        torch.testing.assert_close(tensors["prior/x->h"].exp(), torch.tensor([simplex], dtype=DOUBLE))
        torch.testing.assert_close(tensors["prior/h->y"].exp(), torch.tensor([cube], dtype=DOUBLE))
        assert tensors["prior/temperature"].tolist() == [DEFAULT]
        assert tensors["prior/live"].tolist() == [1.0]


def test_a_structure_whose_function_is_closed_is_uniform_over_the_rest():
    """b isn't open any more: what is left has equal s."""
    tensors = bound_of([Against(structure={"x->h": ("b",)})], left=LEFT).against
    assert len(set(tensors["prior/x->h"][0].tolist())) == 1


@pytest.mark.parametrize(
    ("of", "reached"),
    [("prior", {"prior_structure/x->h", "prior_structure/h->y"}),
     ("posterior", {"structure/x->h", "structure/h->y", "structure_temperature"})],
)  # fmt: skip
@pytest.mark.parametrize("form", ["mixture", "sum"])
def test_whose_divergence_it_is_decides_what_moves(of, reached, form):
    """KL of p(Γ | h) is a function of h alone, KL of q(Γ) of θ alone."""
    bound = bound_of([entry for entry in ENTRIES if entry.of == of], form)
    parameters = {name: value.requires_grad_() for name, value in perturbed(start(bound)).items()}
    total = terms_at(bound, parameters).divergence.sum()
    gradients = torch.autograd.grad(total, list(parameters.values()), allow_unused=True, materialize_grads=True)
    moved = {name for name, slope in zip(parameters, gradients, strict=True) if bool((slope != 0).any())}
    assert moved == reached


def test_noise_of_the_prior_is_drawn_only_where_it_is_needed():
    """A set P of posteriors changes no random numbers; one of priors adds its own, apart from q's."""
    fields = [[field.name for field in bound_of(entries).uniforms.fields] for entries in ((), ENTRIES[3:], ENTRIES[:3])]
    q = ["structure/x->h", "structure/h->y"]
    assert fields == [q, q, [*q, "prior_structure/x->h", "prior_structure/h->y"]]


@pytest.mark.parametrize("edges", [2, 3])
def test_the_sum_ties_where_the_mixture_tells_what_was_visited(edges):
    """P = {00, 11, 22} or {000, 111, 222}. At a γ that is (0.8, 0.1, 0.1) on each edge, 0.8 at the structure's choice,
    an edge of p' has density a where its choice is the structure's and b where it isn't, a > b. Then

        sum:      log Γ · 3 − edges · (log a + 2 log b), the same for all 9 or 27 structures
        mixture:  log Γ − log((Σ_{p'} a^matches b^(edges − matches)) / 3), least where p' = the structure
    """
    links = [ChoiceEdge(number, f"e{number}", "one", ("a", "b", "c")) for number in range(edges)]
    names = {link.key: link.names for link in links}
    entries = tuple(Against(structure={link.key: (name,) for link in links}) for name in "abc")
    gamma = torch.tensor([0.8, 0.1, 0.1], dtype=DOUBLE)
    smoothed = torch.tensor([0.95, 0.025, 0.025], dtype=DOUBLE)
    c = torch.tensor(DEFAULT, dtype=DOUBLE)
    log_a, log_b = (float(RelaxedOneHotCategorical(c, probs=smoothed.roll(shift)).log_prob(gamma)) for shift in (0, 1))
    assert log_a > log_b + 1
    log_gamma = 1.7  # any number: the density of Γ at γ enters both once for each p'
    found: dict[str, dict[tuple[int, ...], float]] = {}
    for form in ("sum", "mixture"):
        of = AgainstSet(entries, form, DEFAULT)
        tensors = of.tensors(links, names)
        found[form] = {}
        for chosen in itertools.product(range(3), repeat=edges):
            at = {
                link.key: gamma.roll(choice).log().reshape(1, 1, 3) for link, choice in zip(links, chosen, strict=True)
            }
            value = of.divergence("prior", FAMILY, links, tensors, at, torch.full((1, 1), log_gamma, dtype=DOUBLE))
            found[form][chosen] = float(value)
    for chosen, value in found["sum"].items():
        assert value == pytest.approx(3 * log_gamma - edges * (log_a + 2 * log_b), abs=1e-9), chosen
    for chosen, value in found["mixture"].items():
        joint = [chosen.count(visited) * log_a + (edges - chosen.count(visited)) * log_b for visited in range(3)]
        assert value == pytest.approx(log_gamma - math.log(sum(map(math.exp, joint)) / 3), abs=1e-9), chosen
    visited = [found["mixture"][(number,) * edges] for number in range(3)]
    others = [value for chosen, value in found["mixture"].items() if len(set(chosen)) > 1]
    assert max(visited) < min(others) - 0.5


def test_what_a_spec_lists_and_what_a_regime_adds():
    """The default temperature is the prior's at the last step: 2 → 0.25; added structures repel the prior."""
    spec = Spec.model_validate(
        {
            "data": {"source": "synthetic", "rows": 10, "inputs": 1, "formula": "x0"},
            "model": {"edges": [{"from": "x", "to": "y", "basis": ["linear", "dense"]}]},
            "prior": {"structure": {"learned": True, "temperature": {"schedule": "linear", "from": 2, "to": 0.25}}},
            "objective": {"c_comb": -1, "against_form": "sum", "against": [{"structure": {"x->y": ["linear"]}}]},
        }
    )
    found = AgainstSet.of_spec(spec, [Structure((("x->y", ("dense:tanh",)),))])
    assert (found.form, found.temperature) == ("sum", 0.25)
    assert [entry.structure["x->y"] for entry in found.members("prior")] == [("linear",), ("dense:tanh",)]
    assert found.members("prior")[1].smoothing == SMOOTHING == 0.05
    assert found.members("posterior") == []


@pytest.mark.parametrize(("count", "places"), [(0, 0), (1, 1), (2, 2), (3, 4), (4, 4), (5, 8)])
def test_capacities_are_powers_of_two(count, places):
    """Rounds that add one structure each share the program of the next power of two."""
    assert AgainstSet(ENTRIES[:1] * count, "mixture", 1.0).capacity("prior") == places
    assert AgainstSet(ENTRIES[:1] * count, "mixture", 1.0).capacity("posterior") == 0

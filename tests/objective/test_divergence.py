"""The divergence from the set P against loops over members, samples and p', and torch.distributions.

Relaxed p': on an edge of `one` the densities are `RelaxedOneHotCategorical`; on one of `any` the density of Maddison et
al. (2017), appendix B, written out over γ, whose Jacobian to the logit cancels in the difference of two log densities.
Structures: −H(π) − log Σ_v π(v) p'(v) with a loop over all v, 3 functions on the first edge, 4 subsets on the second.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from handmade import DOUBLE, edge, fn, graph, keys_of, make_bound, noise_of, normal, perturbed, start
from torch import Tensor
from torch.distributions import RelaxedOneHotCategorical
from torch.utils._pytree import tree_map

from structflow.model.population import build_population
from structflow.objective.bound import BoundInputs
from structflow.objective.divergence import SMOOTHING, AgainstSet, ChoiceEdge, places
from structflow.plugins import Candidate
from structflow.spec.models import Against, Spec
from structflow.spec.structures import OpenSet, Structure

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
    Against(concentration={"x->h": (2.0, 0.3, 1.0)}, temperature=0.9),  # doesn't name h->y
    Against(concentration={"h->y": (1.5, 0.7)}),
    Against(structure={"x->h": ("b",), "h->y": ("d",)}, smoothing=0.1),
    Against(structure={"x->h": ("c",)}),
    Against(structure={"x->h": ("a",), "h->y": ("d", "e")}),
)
ENTRIES += tuple(entry.model_copy(update={"of": "posterior"}) for entry in ENTRIES)
PRIORS, POSTERIORS = ENTRIES[:6], ENTRIES[6:]


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
    given = (noise, X, Y, torch.tensor(C_TEMP, dtype=DOUBLE), bound.population.indices)
    if method == "terms":
        return bound.terms(
            bound.of_labels(parameters),
            BoundInputs(*given, torch.ones((), dtype=DOUBLE), against=bound.against if against is None else against),
        )
    return bound.sample_terms(
        bound.of_labels(parameters), BoundInputs(*given, against=bound.against if against is None else against)
    )


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
    """log s of a relaxed p', function by function; equal where it doesn't name the edge."""
    by_name = dict(zip(NAMES[key], entry.concentration.get(key, (1.0,) * len(NAMES[key])), strict=True))
    return torch.tensor([by_name[name] for name in names], dtype=DOUBLE).log()


def chance(space: str, of_names: dict[str, float], chosen: tuple[str, ...]) -> float:
    """The probability of a choice on an edge, from that of each function."""
    if space == "one":
        return of_names[chosen[0]]
    return math.prod(p if name in chosen else 1 - p for name, p in of_names.items())


def smoothed(entry: Against, key: str, names) -> dict[str, float]:
    """p' of a structure as the spec's documentation has it, function by function; even where the edge isn't named."""
    e = entry.smoothing
    if key not in entry.structure:
        return {name: 0.5 if SPACES[key] == "any" else 1 / len(names) for name in names}
    other = e if SPACES[key] == "any" else e / (len(names) - 1)
    return {name: 1 - e if name in entry.structure[key] else other for name in names}


def choices(space: str, names) -> list[tuple[str, ...]]:
    if space == "one":
        return [(name,) for name in names]
    return [chosen for count in range(len(names) + 1) for chosen in itertools.combinations(names, count)]


def of_rounded(entries, log_s: dict[str, Tensor], form: str, open_names) -> float:
    """−H(π) − log Σ_v π(v) p'(v), v over all structures; p' the mixture of the entries, or summed over them."""
    entropy, overlap = 0.0, [0.0] * len(entries)
    for vertex in itertools.product(*(choices(SPACES[key], names) for key, names in open_names.items())):
        own, others = 1.0, [1.0] * len(entries)
        for (key, names), chosen in zip(open_names.items(), vertex, strict=True):
            pi = log_s[key].softmax(-1) if SPACES[key] == "one" else log_s[key].sigmoid()
            own *= chance(SPACES[key], dict(zip(names, pi.tolist(), strict=True)), chosen)
            others = [
                other * chance(SPACES[key], smoothed(entry, key, names), chosen)
                for other, entry in zip(others, entries, strict=True)
            ]
        entropy -= own * math.log(own)
        overlap = [total + own * other for total, other in zip(overlap, others, strict=True)]
    if form == "sum":
        return sum(-entropy - math.log(each) for each in overlap)
    return -entropy - math.log(sum(overlap) / len(overlap))


def reference(bound, parameters, form: str, open_names) -> Tensor:
    """(M, S): the divergences of the prior and of the posterior, from relaxed p' and from structures, added up."""
    noise = noise_of(bound, keys_of(bound.population), SAMPLES)
    uniforms = bound.uniforms.unpack(noise.uniforms)
    total = torch.zeros(bound.population.size, SAMPLES, dtype=DOUBLE)
    for member, sample, of in itertools.product(range(bound.population.size), range(SAMPLES), ("prior", "posterior")):
        entries = [entry for entry in bound.structure.against.entries if entry.of == of]
        relaxed_ones, structures = (
            [each for each in entries if bool(each.structure) == kind] for kind in (False, True)
        )
        kind = {"prior": "prior_structure", "posterior": "structure"}[of]
        stored = {key: parameters[f"{kind}/{key}"][member] for key in open_names}
        if structures:
            total[member, sample] += of_rounded(structures, stored, form, open_names)
        if not relaxed_ones:
            continue
        temperature = C_TEMP if of == "prior" else float(parameters["structure_temperature"][member].exp())
        own, others = torch.zeros((), dtype=DOUBLE), [torch.zeros((), dtype=DOUBLE) for _ in relaxed_ones]
        for key, names in open_names.items():
            gamma = draw(SPACES[key], stored[key], temperature, uniforms[f"{kind}/{key}"][member, sample])
            own = own + density(SPACES[key], stored[key], temperature, gamma)
            others = [
                other + density(SPACES[key], log_s_of(entry, key, names), entry.temperature or DEFAULT, gamma)
                for other, entry in zip(others, relaxed_ones, strict=True)
            ]
        if form == "sum":
            total[member, sample] += sum(own - other for other in others)
        else:
            total[member, sample] += own - sum(other.exp() for other in others).log() + math.log(len(others))
    return total


CHOICES = {
    "relaxed prior": PRIORS[:3],
    "structures, prior": PRIORS[3:],
    "relaxed posterior": POSTERIORS[:3],
    "structures, posterior": POSTERIORS[3:],
    "one of each": (PRIORS[0], POSTERIORS[3]),
    "five of each": (*PRIORS[:3], *PRIORS[:2], *PRIORS[3:], *PRIORS[3:5]),
    "all": ENTRIES,
}


@pytest.mark.parametrize("form", ["mixture", "sum"])
@pytest.mark.parametrize("entries", CHOICES.values(), ids=CHOICES.keys())
@pytest.mark.parametrize("left", [None, LEFT], ids=["everything", "restricted"])
def test_divergences_are_what_loops_find(form, entries, left):
    """One of one, three of four and five of eight places; with everything open, or a and c, and e alone."""
    if left is not None:  # b is closed; a structure that has it is left for another test
        entries = [entry for entry in entries if entry.structure.get("x->h") != ("b",)]
    bound = bound_of(entries, form, left)
    parameters = perturbed(start(bound))
    expected = reference(bound, parameters, form, NAMES if left is None else dict(left.edges))
    assert float(expected.abs().min()) > 1e-4
    torch.testing.assert_close(terms_at(bound, parameters).divergence, expected, rtol=1e-9, atol=1e-9)
    averaged = terms_at(bound, parameters, method="terms").divergence
    torch.testing.assert_close(averaged, expected.mean(1), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("form", ["mixture", "sum"])
@pytest.mark.parametrize("kind", ["relaxed", "rounded"])
def test_places_that_are_spare_count_for_nothing(form, kind):
    """Three entries of each kind fill three of four places; whatever stands in the fourth is not read."""
    bound = bound_of(ENTRIES, form)
    parameters = perturbed(start(bound))
    before = terms_at(bound, parameters).divergence
    against = tree_map(torch.clone, bound.against)
    for of in ("prior", "posterior"):
        part = getattr(against, kind)[of]
        assert part.live.tolist() == [1, 1, 1, 0]
        assert part[0]["x->h"].shape == (4, 3)
        for value in (*part[0].values(), *([part.temperature] if kind == "relaxed" else [])):
            value[3] = 0.25
    assert torch.equal(terms_at(bound, parameters, against).divergence, before)
    getattr(against, kind)["prior"][0]["x->h"][2, 0] = 0.25  # a place that is taken
    assert not torch.isclose(terms_at(bound, parameters, against).divergence, before).any()


def test_probabilities_of_smoothed_structures():
    """ε = 0.1: on the simplex 0.9 and 0.1/(K − 1), K of what is open; on the cube 0.9 where it is as given."""
    entry = Against(structure={"x->h": ("a",), "h->y": ("e",)}, smoothing=0.1)
    for left, simplex, cube in [(None, [0.9, 0.05, 0.05], [0.1, 0.9]), (LEFT, [0.9, 0.1], [0.9])]:
        rounded = bound_of([entry], left=left).against.rounded["prior"]
        torch.testing.assert_close(rounded.probabilities["x->h"], torch.tensor([simplex], dtype=DOUBLE))
        torch.testing.assert_close(rounded.probabilities["h->y"], torch.tensor([cube], dtype=DOUBLE))
        assert rounded.live.tolist() == [1.0]


def test_a_structure_whose_function_is_closed_is_as_far_from_all_the_rest():
    """b isn't open any more: every open function gets ε/(K − 1), here with K = 2."""
    tensors = bound_of([Against(structure={"x->h": ("b",)}, smoothing=0.2)], left=LEFT).against
    assert tensors.rounded["prior"].probabilities["x->h"].tolist() == [pytest.approx([0.2, 0.2])]


@pytest.mark.parametrize("kind", ["relaxed", "structures"])
@pytest.mark.parametrize("form", ["mixture", "sum"])
def test_whose_divergence_it_is_decides_what_moves(kind, form):
    """KL of p(Γ | h) is a function of h alone, KL of q(Γ) of θ alone; the rounded one doesn't know temperatures."""
    of_q = {"structure/x->h", "structure/h->y"} | ({"structure_temperature"} if kind == "relaxed" else set())
    for entries, reached in ((PRIORS, {"prior_structure/x->h", "prior_structure/h->y"}), (POSTERIORS, of_q)):
        bound = bound_of(entries[:3] if kind == "relaxed" else entries[3:], form)
        parameters = {name: value.requires_grad_() for name, value in perturbed(start(bound)).items()}
        total = terms_at(bound, parameters).divergence.sum()
        gradients = torch.autograd.grad(total, list(parameters.values()), allow_unused=True, materialize_grads=True)
        moved = {name for name, slope in zip(parameters, gradients, strict=True) if bool((slope != 0).any())}
        assert moved == reached


def test_noise_of_the_prior_is_drawn_only_where_it_is_needed():
    """By relaxed p' of the prior alone; q's own numbers stay what they were."""
    q = ["structure/x->h", "structure/h->y"]
    of = [*q, "prior_structure/x->h", "prior_structure/h->y"]
    for entries, expected in (((), q), (POSTERIORS, q), (PRIORS[3:], q), (PRIORS[:1], of)):
        assert [field.name for field in bound_of(entries).uniforms.fields] == expected


@pytest.mark.parametrize("edges", [2, 3])
def test_the_sum_ties_where_the_mixture_tells_what_was_visited(edges):
    """P = {00, 11, 22} or {000, 111, 222}, ε = 0.05. At a vertex H(π) = 0, and p'(v) = 0.95 or 0.025 on each edge:

    sum:      −edges · (log 0.95 + 2 log 0.025), the same for all 9 or 27 structures
    mixture:  −log((Σ_{p'} 0.95^matches 0.025^(edges − matches)) / 3), least where the structure is one of P
    """
    links = [ChoiceEdge(number, f"e{number}", "one", ("a", "b", "c")) for number in range(edges)]
    entries = tuple(Against(structure={link.key: (name,) for link in links}) for name in "abc")
    found: dict[str, dict[tuple[int, ...], float]] = {}
    for form in ("sum", "mixture"):
        of = AgainstSet(entries, form, DEFAULT)
        tensors = of.tensors(links, {link.key: link.names for link in links})
        found[form] = {}
        for chosen in itertools.product(range(3), repeat=edges):
            at = {link.key: torch.eye(3, dtype=DOUBLE)[[choice]] for link, choice in zip(links, chosen, strict=True)}
            found[form][chosen] = float(of.rounded_divergence(tensors.rounded["prior"], links, at))
    for chosen, value in found["sum"].items():
        assert value == pytest.approx(-edges * (math.log(0.95) + 2 * math.log(0.025)), abs=1e-9), chosen
    for chosen, value in found["mixture"].items():
        joint = [0.95 ** chosen.count(p) * 0.025 ** (edges - chosen.count(p)) for p in range(3)]
        assert value == pytest.approx(-math.log(sum(joint) / 3), abs=1e-9), chosen
    visited = [found["mixture"][(number,) * edges] for number in range(3)]
    others = [value for chosen, value in found["mixture"].items() if len(set(chosen)) > 1]
    assert max(visited) < min(others) - 2


def test_a_visited_structure_repels_whatever_has_no_effect_in_it():
    """x->h is a or b, h->y zero or linear; visited: h isn't read. P(v) is 0.95² for both of its vertices, and for the
    others 0.95 · 0.05, so that repulsion doesn't tell the two apart, and finds another function next."""
    functions = [fn("dense", name="a"), fn("linear", name="b")]
    of = graph(
        {"x": (3,), "h": (2,), "y": (1,)},
        edge("x", "h", "one", *functions),
        edge("h", "y", "one", fn("zero"), fn("linear")),
    )
    space = of.structure_space()
    off = space.canonical_form(Structure((("x->h", ("b",)), ("h->y", ("zero",)))))
    choices = space.equal_choices(off)
    assert choices == {"x->h": ("a", "b"), "h->y": ("zero",)}
    links = [ChoiceEdge(0, "x->h", "one", ("a", "b")), ChoiceEdge(1, "h->y", "one", ("zero", "linear"))]
    against = AgainstSet((Against(structure=choices, smoothing=SMOOTHING),), "mixture", DEFAULT)
    tensors = against.tensors(links, {link.key: link.names for link in links})
    for one, other in itertools.product(range(2), repeat=2):
        at = {"x->h": torch.eye(2, dtype=DOUBLE)[[one]], "h->y": torch.eye(2, dtype=DOUBLE)[[other]]}
        expected = -math.log(0.95 * (0.95, 0.05)[other])
        assert float(against.rounded_divergence(tensors.rounded["prior"], links, at)) == pytest.approx(expected)


@pytest.mark.parametrize("form", ["mixture", "sum"])
def test_halfway_between_vertices_is_no_refuge_from_repulsion(form):
    """Convex along each edge: at the middle of any two π the divergence is no more than the mean of the two."""
    links = [ChoiceEdge(number, f"e{number}", "one", ("a", "b", "c")) for number in range(2)]
    entries = tuple(Against(structure={link.key: (name,) for link in links}) for name in "ab")
    of = AgainstSet(entries, form, DEFAULT)
    tensors = of.tensors(links, {link.key: link.names for link in links})
    rows = torch.from_numpy(np.random.default_rng(0).dirichlet([0.5] * 3, size=(2, 200)))
    fixed = torch.from_numpy(np.random.default_rng(1).dirichlet([0.5] * 3, size=200))
    ends = [of.rounded_divergence(tensors.rounded["prior"], links, {"e0": row, "e1": fixed}) for row in rows]
    middle = of.rounded_divergence(tensors.rounded["prior"], links, {"e0": rows.mean(0), "e1": fixed})
    assert (middle <= torch.stack(ends).mean(0) + 1e-12).all()


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
    found = AgainstSet.of_spec(spec, [{"x->y": ("dense:tanh",)}])
    assert (found.form, found.temperature) == ("sum", 0.25)
    assert [entry.structure["x->y"] for entry in found.rounded("prior")] == [("linear",), ("dense:tanh",)]
    assert found.rounded("prior")[1].smoothing == SMOOTHING == 0.05
    assert found.rounded("posterior") == found.relaxed("prior") == []


@pytest.mark.parametrize(("count", "expected"), [(0, 0), (1, 1), (2, 2), (3, 4), (4, 4), (5, 8)])
def test_places_are_powers_of_two(count, expected):
    """Rounds that add one structure each share the program of the next power of two."""
    assert places(ENTRIES[:1] * count) == expected
    links = [ChoiceEdge(0, "x->h", "one", NAMES["x->h"]), ChoiceEdge(1, "h->y", "any", NAMES["h->y"])]
    sets = (AgainstSet(PRIORS[3:4] * number, "mixture", 1.0).tensors(links, NAMES) for number in range(5, 9))
    assert {tuple(part.rounded["prior"].live.shape) for part in sets} == {(8,)}

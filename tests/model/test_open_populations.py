"""A relaxed population over some functions is that of a spec that has no others, to the last bit."""

from __future__ import annotations

import handmade
import torch
from handmade import DOUBLE, edge, fn

from structflow.model.population import build_population
from structflow.objective.bound import BoundInputs
from structflow.plugins import Candidate
from structflow.plugins.registry import registry
from structflow.spec.structures import OpenSet

MANY = handmade.graph(
    {"x": (3,), "h": (2,), "y": (1,)},
    edge("x", "h", "one", fn("dense", activation="relu"), fn("dense"), fn("linear"), fn("dense", activation="sin")),
    edge("h", "y", "one", fn("linear", name="out"), fn("polynomial", degree=2)),
    edge("x", "y", "any", fn("linear", name="skip"), fn("polynomial", degree=2), fn("constant")),
)
FEW = handmade.graph(
    {"x": (3,), "h": (2,), "y": (1,)},
    edge("x", "h", "one", fn("dense"), fn("dense", activation="sin")),
    edge("h", "y", "all", fn("linear", name="out")),
    edge("x", "y", "any", fn("polynomial", degree=2)),
)
LEFT = OpenSet((("x->h", ("dense:tanh", "dense:sin")), ("h->y", ("out",)), ("x->y", ("polynomial:2",))))


def open_population(left: OpenSet):
    return build_population(MANY, MANY.node_shapes(), [Candidate(None, restart, left) for restart in range(3)])


def test_it_equals_a_spec_with_fewer_functions():
    """Same parameters, same noise, same terms: γ is indexed by the functions that are open."""
    restricted = handmade.make_bound(open_population(LEFT))
    written = handmade.make_bound(handmade.population(FEW, [None] * 3, [0, 1, 2]))
    keys = handmade.keys_of(written.population)
    first, second = handmade.start(restricted), handmade.start(written)
    assert set(first) == set(second)
    assert "structure/h->y" not in first  # one open function: γ is 1, nothing random
    assert first["structure/x->y"].shape == (3, 1)  # on `any` the one function keeps its coin
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)
    parameters = handmade.perturbed(first)
    x, y = handmade.normal(7, 3), handmade.normal(7, 1, seed=1)
    c_temp = torch.tensor(0.5, dtype=DOUBLE)
    for samples in (1, 4):
        found = [
            bound.sample_terms(
                bound.of_labels(parameters),
                BoundInputs(handmade.noise_of(bound, keys, samples), x, y, c_temp, bound.population.indices),
            )
            for bound in (restricted, written)
        ]
        for one, other in zip(*found, strict=True):
            if torch.is_tensor(one):
                torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_an_edge_whose_functions_are_all_closed_adds_nothing():
    """`any` with no open function: no parameters, f = 0 there."""
    left = OpenSet((*LEFT.edges[:2], ("x->y", ())))
    population = open_population(left)
    assert population.choice_edges == (0,)
    parameters = handmade.start(handmade.make_bound(population))
    assert not any("x->y" in name for name in parameters)


def test_everything_open_is_the_whole_relaxation():
    """An open set that names every function gives the same program as none at all."""
    whole = build_population(MANY, MANY.node_shapes(), [Candidate(None, 0)])
    named = build_population(MANY, MANY.node_shapes(), [Candidate(None, 0, MANY.structure_space().open_set)])
    assert named.signature == whole.signature


def test_open_functions_keep_their_own_prior(monkeypatch):
    """A prior of log s = (3, 2, 1, 0) by place gives the second and the fourth function 2 and 0, not 3 and 2."""
    family = registry().get("structure_distributions", "gumbel_softmax")
    by_place = staticmethod(lambda space, options, k: [float(k - 1 - place) for place in range(k)])
    monkeypatch.setattr(family, "prior_log_concentration", by_place)
    bound = handmade.make_bound(open_population(LEFT))
    assert handmade.start(bound)["structure/x->h"].tolist() == [[2.0, 0.0]] * 3
    (edge,) = [each for each in bound.structure.edges() if each.key == "x->h"]
    like = torch.zeros((3, 1, 2), dtype=DOUBLE)
    assert bound.structure.prior_log_concentration({}, edge, like).tolist() == [[[2.0, 0.0]]]

"""What estimators will have no value for is said before anything is trained, and is what comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import studies

from structflow.errors import PluginError
from structflow.plugins import ModelFacts
from structflow.plugins.registry import registry
from structflow.results.expected_estimates import expected_gaps
from structflow.spec.model_facts import model_facts

DENSE = {"type": "dense", "activation": "tanh"}
QUICK = {"inner": {"steps": 2}, "restarts": 1}
NOT_LINEAR = "the model isn't linear in its weights, so that its evidence has no closed form"


def edge(source: str, target: str, *basis: Any) -> dict[str, Any]:
    return {"from": source, "to": target, "choose": "one", "basis": list(basis)}


def document(edges: list[dict[str, Any]], estimators: list[str], **sections: Any) -> dict[str, Any]:
    nodes = {name: {"shape": [1]} for name in ("h", "k") if any(name in (each["from"], each["to"]) for each in edges)}
    evidence = {"estimators": estimators, "samples": 4}
    return studies.spec(model=studies.model(edges, **nodes), optimizer=QUICK, evidence=evidence, **sections)


SPECS = {
    "one edge": [edge("x", "y", "linear", DENSE, {"type": "polynomial", "degree": 2}, "zero")],
    "two linear maps behind each other": [edge("x", "h", "linear"), edge("h", "y", "linear", "identity")],
    "a hidden unit, or none": [edge("x", "h", DENSE, "zero"), edge("h", "y", "linear"), edge("x", "y", "linear")],
    "features without weights": [edge("x", "y", "linear"), edge("h", "y", "linear"), edge("x", "h", "constant")],
    "shared weights": [
        edge("x", "h", {"type": "linear", "share": "s"}), edge("x", "k", {"type": "linear", "share": "s"}),
        edge("h", "y", "identity"), edge("k", "y", "identity"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", SPECS)
def test_what_is_expected_is_what_comes_out(name: str, tmp_path: Path) -> None:
    """For every structure, `exact` lacks a value for the reason that was expected, or has one.

    A linear map behind a linear one is a product of weights; the identity behind one, or the sum of two shared ones,
    leaves it linear, which no function declares.
    """
    given = document(SPECS[name], ["elbo", "exact"])
    study = studies.study(given)
    exact = registry().get("evidence_estimators", "exact")
    options = study.spec.evidence.estimators[1]
    expected = {
        each.canonical: exact.why_no_value(options, model_facts(study.graph, each, study.dataset.target_kind))
        for each in study.space
    }
    run = studies.run(given, tmp_path / "run")
    found = {
        json.dumps(entry["structure"], sort_keys=True, separators=(",", ":")): entry["evidence_missing"].get("exact")
        for entry in run.ranking
    }
    assert found == expected


def test_facts() -> None:
    """x has 2 columns and h one unit: 2 + 1 weights into it, 1 + 1 out of it, 2 + 1 of the skip; shared ones once."""
    study = studies.study(document(SPECS["a hidden unit, or none"], ["elbo"]))
    found = {each.canonical: model_facts(study.graph, each, "continuous") for each in study.space}
    assert sorted((facts.linear, facts.weights) for facts in found.values()) == [(False, 8), (True, 5)]
    shared = studies.study(document(SPECS["shared weights"], ["elbo"]))
    assert {model_facts(shared.graph, each, "counts") for each in shared.space} == {ModelFacts("counts", None, 3)}


def test_commands_say_it_before_training(cli, tmp_path):
    path = studies.write(document(SPECS["one edge"], ["exact", "elbo"]), tmp_path)
    expected = (
        "exact, which is listed first in evidence.estimators and so ranks, is expected to have no value for 1 of 4 "
        f"structures (x->y dense:tanh: {NOT_LINEAR}); they would have no rank: list first one that has a value for "
        "all, such as elbo"
    )
    for command in ("validate", "plan"):
        called = cli(command, path)
        assert (called.code, called.err) == (0, f"warning: {expected}\n")
        assert json.loads(cli(command, path, "--json").out)["warnings"] == [expected]
    called = cli("run", path, "-o", tmp_path / "run")
    assert f"warning: {expected}\n" in called.err
    assert cli("run", path, "-o", tmp_path / "quiet", "--quiet").err == ""


@pytest.mark.parametrize(
    ("edges", "estimators", "sections", "expected"),
    [
        ([edge("x", "y", DENSE)], ["elbo", "exact"], {}, "for 1 of 1 structures (x->y dense:tanh: the model isn't"),
        ([edge("x", "y", DENSE)], ["elbo", "exact"], {}, "; they are ranked without it"),
        ([edge("x", "y", DENSE)], ["exact"], {}, "; no structure would have a rank: list first"),
        ([edge("x", "y", "linear")], ["exact"], {}, None),
        ([edge("x", "y", "linear")], ["exact"], {"counts": True}, "the noise isn't normal"),
        ([edge("x", "y", DENSE)], ["elbo", "laplace"], {}, None),
        (
            [edge("x", "h", DENSE), edge("h", "y", "linear")], ["elbo", "laplace"], {"units": 600},
            "laplace is expected to have no value for 1 of 1 structures (x->h dense:tanh; h->y linear: it has 2,401 "
            "weights, and 2,000 are the most)",
        ),
    ],
)  # fmt: skip
def test_sentences(edges, estimators, sections, expected) -> None:
    """600 units: 2·600 + 600 weights into them and 600 + 1 out of them."""
    given = document(edges, estimators)
    if sections.get("counts"):
        given["data"] |= {"formula": "0 * x0 + 3", "noise": 0}
        given["model"]["likelihood"] = "poisson"
    if "units" in sections:
        given["model"]["nodes"]["h"]["shape"] = [sections["units"]]
    found = expected_gaps(studies.study(given))
    assert len(found) == (expected is not None)
    assert expected is None or expected in found[0]


def test_a_method_that_returns_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = registry().get("evidence_estimators", "elbo")
    monkeypatch.setattr(plugin, "why_no_value", staticmethod(lambda options, facts: False), raising=False)
    with pytest.raises(PluginError, match="evidence estimator 'elbo' of package structflow broke its contract: why_no"):
        expected_gaps(studies.study(document(SPECS["one edge"], ["elbo"])))


def test_facts_are_values() -> None:
    """Authors of plugins make them in their own tests."""
    exact = registry().get("evidence_estimators", "exact")
    assert exact.why_no_value(exact.Options(), ModelFacts("continuous", True, 3)) is None
    assert exact.why_no_value(exact.Options(), ModelFacts("counts", True, 3)) is not None

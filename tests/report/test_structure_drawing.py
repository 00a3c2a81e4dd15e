"""The drawing of a structure: where nodes and edges stand, what is grey, what is written, and the image."""

from __future__ import annotations

from pathlib import Path

import pytest

from structflow.errors import CallError
from structflow.report.graph_layout import crossings, layered_layout
from structflow.report.structure_drawing import (
    DrawnEdge,
    StructureDrawing,
    key_of,
    probability_lines,
    save_structure_figure,
    structure_drawing,
)
from structflow.results.run import Run, run


def test_layers_are_longest_paths_and_long_edges_pass_a_place_in_each() -> None:
    """x→a→b→y with x→y beside it: layers 0 to 3, and the long edge runs through layers 1 and 2."""
    layout = layered_layout(["x", "a", "b", "y"], [("x", "a"), ("a", "b"), ("b", "y"), ("x", "y")])
    assert {node: layer for node, (layer, _) in layout.nodes.items()} == {"x": 0, "a": 1, "b": 2, "y": 3}
    assert [layer for layer, _ in layout.edges["x", "y"]] == [0, 1, 2, 3]
    assert layout.nodes["a"][1] != layout.edges["x", "y"][1][1]  # beside a, not through it


def test_no_edges_cross_where_they_needn_t() -> None:
    """x→a→d and x→b→c, all into y, listed so that the order of the spec crosses; two chains never have to."""
    edges = [("x", "a"), ("x", "b"), ("b", "c"), ("a", "d"), ("c", "y"), ("d", "y")]
    before = crossings([["x"], ["a", "b"], ["c", "d"], ["y"]], edges)
    rows = {node: row for node, (_, row) in layered_layout(["x", "a", "b", "c", "d", "y"], edges).nodes.items()}
    assert before == 1
    assert (rows["a"] - rows["b"]) * (rows["d"] - rows["c"]) > 0


CELL = StructureDrawing(
    {"x": (1, 8, 8), "a": (4, 8, 8), "b": (4, 8, 8), "y": (10,)},
    [
        DrawnEdge("x", "a", "linear"),
        DrawnEdge("x", "b", "dense:tanh", False, 0.75, {"dense:tanh": 0.5, "zero": 0.1, "dense:relu": 0.4}),
        DrawnEdge("a", "b", "zero", True, 0.9),
        DrawnEdge("a", "y", "∅", True, 0.6),
        DrawnEdge("b", "y", "linear"),
    ],
    "cell: structure 1 of 2",
)


def test_what_the_output_does_not_depend_on_is_not_live() -> None:
    """Both edges that leave a are off, so a counts for nothing, and neither does what leads to it."""
    assert CELL.live_nodes == {"x", "b", "y"}
    assert "grey" in key_of(CELL)


def test_probabilities_are_of_the_choice_and_of_the_next_ones() -> None:
    assert probability_lines(CELL.edges[0]) == []
    assert probability_lines(CELL.edges[1]) == ["p 0.75  q 0.50", "dense:relu 0.40", "zero 0.10"]
    assert probability_lines(CELL.edges[2]) == ["p 0.90"]


def test_the_figure_is_an_image_with_every_name_in_it(tmp_path: Path) -> None:
    save_structure_figure(CELL, tmp_path / "cell.svg")
    drawn = (tmp_path / "cell.svg").read_text(encoding="utf-8")
    for text in ("dense:tanh", "p 0.75  q 0.50", "4×8×8", "cell: structure 1 of 2"):
        assert f"<!-- {text} -->" in drawn
    save_structure_figure(CELL, tmp_path / "cell.png")
    assert (tmp_path / "cell.png").read_bytes().startswith(b"\x89PNG")


def test_a_figure_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    with pytest.raises(CallError, match=r"can't write the figure .*cell\.nonsense"):
        save_structure_figure(CELL, tmp_path / "cell.nonsense")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two functions on one edge, a subset on another, in the relaxed regime."""
    edges = [
        {"from": "x", "to": "h", "basis": ["zero", {"type": "dense", "activation": "tanh"}]},
        {"from": "x", "to": "y", "choose": "any", "basis": [{"type": "linear", "bias": False}]},
        {"from": "h", "to": "y", "basis": ["linear"]},
    ]
    spec = {
        "name": "drawn",
        "data": {"source": "synthetic", "rows": 40, "inputs": 2, "formula": "tanh(x0)", "noise": 0.1},
        "model": {"nodes": {"x": {}, "h": {"shape": [3]}, "y": {}}, "edges": edges},
        "regime": {"type": "evidence"},
        "optimizer": {"inner": {"steps": 20}, "restarts": 1},
        "evidence": {"samples": 4},
        "compute": {"compile": False},
    }
    return run(spec, tmp_path_factory.mktemp("drawing") / "run")


def test_a_run_gives_its_best_structure_with_shapes_and_probabilities(finished: Run) -> None:
    drawing = structure_drawing(finished)
    assert drawing.nodes == {"x": (2,), "h": (3,), "y": (1,)}
    best, relaxed = finished.best.structure, finished.summary["relaxed"]["q_probability"]
    first, straight, last = drawing.edges
    assert first.label == best["x->h"][0]
    assert first.is_off == (first.label == "zero")
    assert straight.is_off == (best["x->y"] == [])
    assert first.relaxed == relaxed["x->h"]
    assert first.probability == pytest.approx(1.0)  # one structure is ranked
    assert last.probability is None  # no choice
    assert drawing.title.startswith("run: structure 1 of 1, score ")


def test_a_rank_that_does_not_exist_is_refused(finished: Run) -> None:
    with pytest.raises(CallError, match="no structure of rank 2"):
        structure_drawing(finished, rank=2)

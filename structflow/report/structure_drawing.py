"""The graph of one structure: a box for each node, an arrow for each edge with the functions chosen on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from ..results.marginals import choice_label, marginal_probabilities
from ..results.models import PrunedNetwork, RankingEntry
from ..spec.structure import Structure
from .graph_layout import GraphLayout, Place, layered_layout
from .image import new_figure, save_image

if TYPE_CHECKING:
    from ..results.run import Run

MOST_OTHERS = 2
"""Functions that weren't chosen and are named with their probability."""

LAYER_WIDTH, ROW_HEIGHT = 2.9, 1.25
"""Inches from one layer, or row, to the next."""

LEAST_WIDTH = 6.0
"""Width of the smallest figure, in inches."""

BOX = (0.82, 0.5)
"""Width and height of a node's box, in inches."""

LIVE, FAINT, BOX_FILL = "#28507a", "#b8b8b8", "#e8eef5"


@dataclass(frozen=True)
class DrawnEdge:
    """An edge with what was chosen on it.

    `is_off` says that it passes nothing on, `reads_source` whether what it passes on depends on its source.
    `probability` is that of the choice over the ranking, None where there was no choice; `relaxed` are the
    probabilities of every function under q(Γ) of the best restart of the relaxed problem, if there was one.
    """

    source: str
    target: str
    label: str
    is_off: bool = False
    probability: float | None = None
    relaxed: Mapping[str, float] | None = None
    reads_source: bool = True


@dataclass(frozen=True)
class StructureDrawing:
    """What is drawn: shapes of the nodes in topological order, edges, and a title."""

    nodes: Mapping[str, tuple[int, ...]]
    edges: Sequence[DrawnEdge]
    title: str = ""

    @property
    def live_nodes(self) -> set[str]:
        """Nodes that the last one, the output, depends on."""
        live = {list(self.nodes)[-1]}
        for node in reversed(list(self.nodes)):
            out = (edge for edge in self.edges if edge.source == node and edge.target in live)
            if any(edge.reads_source and not edge.is_off for edge in out):
                live.add(node)
        return live


def structure_drawing(run: Run, rank: int = 1) -> StructureDrawing:
    """What is drawn of the structure at a place of a run's ranking; raises `CallError` where there is none."""
    entry = run.ranked(rank).entry
    graph, chosen = run.context.study.graph, entry.structure
    shapes = graph.node_shapes(dict(Structure.from_dict(chosen).shapes))
    marginals = marginal_probabilities(run.ranking)
    relaxed = {} if run.summary.relaxed is None else run.summary.relaxed.q_probability
    edges = []
    for edge in graph.edges:
        names = chosen[edge.key]
        label = choice_label(edge.key, names)
        probability = None if edge.space == "all" else marginals[edge.key][label]
        facts = [function.facts for function in edge.functions if function.name in names]
        is_off, reads_source = all(each.is_zero for each in facts), not all(each.ignores_input for each in facts)
        edges.append(
            DrawnEdge(edge.source, edge.target, label, is_off, probability, relaxed.get(edge.key), reads_source)
        )
    return StructureDrawing({node: shapes[node] for node in graph.nodes}, edges, title_of(run, rank, entry))


def title_of(run: Run, rank: int, entry: RankingEntry | PrunedNetwork) -> str:
    """Name of the run, place and score of the structure, and its accuracy or error on the test rows."""
    parts = [f"{run.path.name}: structure {rank} of {len(run.ranking)}", f"score {entry.score:,.1f} nats"]
    metrics = entry.metrics["test"] or entry.metrics["train"]
    rows = "test" if entry.metrics["test"] else "training"
    left_out = ("log_likelihood", "calibration_error")
    parts += [f"{name} {value:.4g} on {rows} rows" for name, value in metrics.items() if name not in left_out]
    return ", ".join(parts)


def save_structure_figure(drawing: StructureDrawing, target: Path) -> None:
    """Draw a structure and save it as an image; raises `CallError` where matplotlib is missing or refuses."""
    layout = layered_layout(list(drawing.nodes), [(edge.source, edge.target) for edge in drawing.edges])
    places = [place for path in layout.edges.values() for place in path] + list(layout.nodes.values())
    layers = 1 + max(layer for layer, _ in places)
    rows = [row for _, row in places]
    width, height = max(LAYER_WIDTH * (layers - 1) + 1.3, LEAST_WIDTH), ROW_HEIGHT * (max(rows) - min(rows)) + 2.1
    figure = new_figure(width, height, layout=None)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    centre = LAYER_WIDTH * (layers - 1) / 2
    axes.set_xlim(centre - width / 2, centre + width / 2)
    middle = -ROW_HEIGHT * (max(rows) + min(rows)) / 2
    axes.set_ylim(middle - height / 2, middle + height / 2)
    axes.axis("off")
    draw_structure(axes, drawing, layout)
    title, key = (
        "\n".join(wrap(text, int(width * size))) for text, size in ((drawing.title, 11), (key_of(drawing), 15))
    )
    axes.text(0.5, 1 - 0.08 / height, title, transform=axes.transAxes, ha="center", va="top", fontsize=11)
    axes.text(0.5, 0.08 / height, key, transform=axes.transAxes, ha="center", va="bottom", fontsize=8, color="0.4")
    save_image(figure, target)


def key_of(drawing: StructureDrawing) -> str:
    """What the numbers and the grey mean, as far as there are some."""
    live = drawing.live_nodes
    meanings = {
        "p: probability of the choice over all structures ranked": any(
            edge.probability is not None for edge in drawing.edges
        ),
        "q: probability that the best start of the relaxed problem rounds to it, below it the next ones": any(
            edge.relaxed for edge in drawing.edges
        ),
        "grey: y doesn't depend on it": any(edge.is_off or edge.target not in live for edge in drawing.edges),
    }
    return "; ".join(text for text, applies in meanings.items() if applies)


def draw_structure(axes: Any, drawing: StructureDrawing, layout: GraphLayout) -> None:
    """Boxes, arrows and labels, in inches: what the output doesn't depend on is grey."""
    live = drawing.live_nodes
    for edge in drawing.edges:
        used = not edge.is_off and edge.target in live
        draw_edge(axes, edge, layout.edges[edge.source, edge.target], used)
    for node, shape in drawing.nodes.items():
        draw_node(axes, node, shape, layout.nodes[node], node in live)


def draw_node(axes: Any, node: str, shape: tuple[int, ...], place: Place, used: bool) -> None:
    """A box with the node's name and shape."""
    from matplotlib.patches import FancyBboxPatch

    x, y = in_inches(place)
    width, height = BOX
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0.02,rounding_size=0.08",
            facecolor=BOX_FILL if used else "white", edgecolor=LIVE if used else FAINT, linewidth=1.2, zorder=3,
        )
    )  # fmt: skip
    colour = "black" if used else FAINT
    axes.text(x, y + 0.1, node, ha="center", va="center", fontsize=10, fontweight="bold", color=colour, zorder=4)
    text = "×".join(map(str, shape))
    axes.text(x, y - 0.12, text, ha="center", va="center", fontsize=8, color="0.35" if used else FAINT, zorder=4)


def draw_edge(axes: Any, edge: DrawnEdge, places: Sequence[Place], used: bool) -> None:
    """An arrow that leaves and enters its places horizontally, with a label in its middle."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    points = [in_inches(place) for place in places]
    points[0] = (points[0][0] + BOX[0] / 2 + 0.02, points[0][1])
    points[-1] = (points[-1][0] - BOX[0] / 2 - 0.04, points[-1][1])
    vertices, codes = [points[0]], [Curve.MOVETO]
    for (x, y), (to_x, to_y) in pairwise(points):
        reach = 0.5 * (to_x - x)
        vertices += [(x + reach, y), (to_x - reach, to_y), (to_x, to_y)]
        codes += [Curve.CURVE4] * 3
    axes.add_patch(
        FancyArrowPatch(
            path=Curve(vertices, codes), arrowstyle="-|>", mutation_scale=12, shrinkA=0, shrinkB=0,
            color=LIVE if used else FAINT, linewidth=1.6 if used else 1.0, linestyle="-" if used else (0, (4, 3)),
            zorder=2 if used else 1,
        )
    )  # fmt: skip
    draw_label(axes, edge, middle_of(points), used)


def draw_label(axes: Any, edge: DrawnEdge, place: Place, used: bool) -> None:
    """The functions chosen and their probabilities, one above the other in a white box."""
    from matplotlib.offsetbox import AnnotationBbox, TextArea, VPacker

    name = {"fontsize": 8.5, "fontweight": "bold" if used else "normal", "color": "black" if used else "0.6"}
    areas: list[Any] = [TextArea(edge.label, textprops=name)]
    areas += [
        TextArea(line, textprops={"fontsize": 7, "color": "0.35" if used else "0.65"})
        for line in probability_lines(edge)
    ]
    stacked = VPacker(children=areas, align="center", pad=0, sep=2)
    background = {"facecolor": "white", "edgecolor": "none"}
    axes.add_artist(AnnotationBbox(stacked, place, pad=0.2, bboxprops=background, zorder=2.5 if used else 1.5))


def probability_lines(edge: DrawnEdge) -> list[str]:
    """The probabilities of the choice, and of those that q(Γ) finds most probable beside it."""
    shown = [] if edge.probability is None else [f"p {edge.probability:.2f}"]
    if not edge.relaxed:
        return shown
    if edge.label in edge.relaxed:
        shown.append(f"q {edge.relaxed[edge.label]:.2f}")
    others = sorted(
        (item for item in edge.relaxed.items() if item[0] != edge.label), key=lambda item: (-item[1], item[0])
    )
    return ["  ".join(shown), *(f"{name} {chance:.2f}" for name, chance in others[:MOST_OTHERS])]


def middle_of(points: Sequence[Place]) -> Place:
    """The middle point, or the middle of the two middle ones, where a curve between them passes."""
    half = len(points) // 2
    if len(points) % 2:
        return points[half]
    (x, y), (to_x, to_y) = points[half - 1], points[half]
    return (x + to_x) / 2, (y + to_y) / 2


def in_inches(place: Place) -> Place:
    """A place (layer, row) on the page; rows run downwards."""
    layer, row = place
    return LAYER_WIDTH * layer, -ROW_HEIGHT * row

"""T9: what a sequence of repelled relaxations visits, by the form of repulsion and its strength. Draws figures/t09.png.

python docs/theory/t09_repulsion.py
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from measuring import BLUE, GREEN, GREY, RED, YELLOW, finished, new_figure, save

from structflow.distributions import gumbel_softmax
from structflow.objective.divergence import SMOOTHING
from structflow.plan.tasks import Task
from structflow.results.run import Run

EDGES = ("x->u", "x->v", "x->y")
STRUCTURES = list(itertools.product(range(3), repeat=3))
SUM_STRENGTHS = (-2.0, -6.0, -20.0, -60.0)
BOXES = (1.0, 1.2, 1.5, 1.82, 2.2, 3.0, 4.0)
DRAWS = 4000
SEEDS = (0,)


@dataclass(frozen=True)
class Visit:
    """One round: what q(Γ) and p(Γ | h) of the chosen restart round to, its least certain edge, and how many agree."""

    found: tuple[int, ...]
    prior: tuple[int, ...]
    certainty: float
    agreeing: int
    restarts: int


def visits_of(run: Run) -> list[Visit]:
    """The rounds that trained anyone, in order; the restart with the highest Q is the regime's choice."""
    context = run.context
    visits: list[Visit] = []
    for number, planned in enumerate(context.plan.settings[0].rounds):
        if not planned.relaxed:
            continue
        tasks = [Task("train", 0, number, 0, slot) for slot in range(planned.slots)]
        records = [context.directory.record(task.name) for task in tasks]
        records = [record for record in records if not record.payload["empty"]]
        if not records:
            break
        arrays = [context.directory.arrays(record) for record in records]
        q, p = (
            np.concatenate([np.stack([part[f"parameter/{of}/{edge}"] for edge in EDGES], 1) for part in arrays])
            for of in ("structure", "prior_structure")
        )
        objectives = [value for record in records for value in record.payload["objectives"]]
        best = int(np.argmax([-math.inf if value is None else value for value in objectives]))
        odds = np.exp(q[best] - q[best].max(axis=1, keepdims=True))
        visits.append(
            Visit(
                tuple(q[best].argmax(axis=1).tolist()),
                tuple(p[best].argmax(axis=1).tolist()),
                float((odds.max(axis=1) / odds.sum(axis=1)).min()),
                int((q.argmax(axis=2) == p.argmax(axis=2)).all(axis=1).sum()),
                len(q),
            )
        )
    return visits


def report(title: str, run: Run) -> list[Visit]:
    """Print the sequence, when it first repeats, how q and p agree, and the range of log evidence of what was found."""
    visits = visits_of(run)
    found = [visit.found for visit in visits]
    repeat = next((i + 1 for i in range(len(found)) if found[i] in found[:i]), None)
    evidence = [entry["log_evidence"] for entry in run.ranking]
    shown = " ".join("".join(map(str, structure)) for structure in found)
    print(
        f"\n{title}: {len(set(found))} of 27 in {len(found)} visits, first repeat"
        f" {'none' if repeat is None else f'at visit {repeat}'}\n  {shown}\n"
        f"  q and p of the chosen restart round alike in {sum(v.found == v.prior for v in visits)} of {len(visits)},"
        f" of all restarts in {sum(v.agreeing for v in visits)} of {sum(v.restarts for v in visits)};"
        f" p alone: {len({v.prior for v in visits})} distinct\n"
        f"  probability of the least certain edge: median {np.median([v.certainty for v in visits]):.2f};"
        f" log evidence of what was found ranges over {max(evidence) - min(evidence):.2f} nats",
        flush=True,
    )
    return visits


def distinct(visits: list[Visit]) -> list[int]:
    """How many different structures were found by every visit."""
    return [len({visit.found for visit in visits[: number + 1]}) for number in range(len(visits))]


def divergence(log_s: torch.Tensor, visited: list[tuple[int, ...]], uniforms: torch.Tensor) -> float:
    """KL(p(Γ) ‖ |P|⁻¹ Σ p') by Monte Carlo, p(Γ) with log_s (3 edges, 3), P the visited structures, smoothed."""
    temperature = torch.tensor(0.3, dtype=torch.float64)
    vertices = torch.full((3, 3), math.log(SMOOTHING / 2), dtype=torch.float64)
    vertices.fill_diagonal_(math.log(1 - SMOOTHING))
    drawn = gumbel_softmax.sample_log_gamma(log_s.unsqueeze(1), temperature, uniforms)
    own = gumbel_softmax.log_prob(log_s.unsqueeze(1), temperature, drawn).sum(0)
    parts = gumbel_softmax.log_prob(vertices.reshape(3, 1, 1, 3), temperature, drawn.unsqueeze(0))
    joint = torch.stack([sum(parts[function, edge] for edge, function in enumerate(v)) for v in visited])
    return float((own - joint.logsumexp(0) + math.log(len(visited))).mean())


def landscape() -> dict[str, list[float]]:
    """With 26 structures visited, the divergence at the last, at the visited (mean), between vertices, at the centre.

    At box b a vertex has log s = ±b, + for one function; between vertices it is + for two functions.
    """
    uniforms = torch.rand(3, DRAWS, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    visited, last = STRUCTURES[:-1], STRUCTURES[-1]
    names = ("the structure not visited", "visited structures", "two functions on every edge", "centre")
    found: dict[str, list[float]] = {name: [] for name in names}
    for box in BOXES:

        def vertex(structure: tuple[int, ...], size: float) -> torch.Tensor:
            log_s = torch.full((3, 3), -size, dtype=torch.float64)
            log_s[torch.arange(3), torch.tensor(structure)] = size
            return log_s

        sampled = [divergence(vertex(structure, box), visited, uniforms) for structure in visited[::5]]
        between = max(divergence(-vertex(structure, box), visited, uniforms) for structure in STRUCTURES[::4])
        values = (
            divergence(vertex(last, box), visited, uniforms),
            float(np.mean(sampled)),
            between,
            divergence(torch.zeros(3, 3, dtype=torch.float64), visited, uniforms),
        )
        for name, value in zip(names, values, strict=True):
            found[name].append(value)
    return found


def main() -> None:
    """Print every sequence and the landscape of the divergence; draw both."""
    figure, (left, right) = new_figure(2, width=5.4)
    for seed in SEEDS:
        with finished("t9-repulsion", [f"seed={seed}"]) as run:
            visits = report(f"mixture, c_comb -6, seed {seed}", run)
        label = f"mixture, c_comb −6, seed {seed}"
        left.plot(range(1, len(visits) + 1), distinct(visits), ".-", color=BLUE, alpha=0.7, label=label)
    for strength, colour in zip(SUM_STRENGTHS, (YELLOW, RED, GREEN, GREY), strict=True):
        overrides = ["objective.against_form=sum", f"objective.c_comb={strength:g}", "regime.stop_at_repeat=true"]
        with finished("t9-repulsion", overrides) as run:
            visits = report(f"sum, c_comb {strength:g}", run)
        label = f"sum, c_comb {strength:g}".replace("-", "−")
        left.plot(range(1, len(visits) + 1), distinct(visits), "x-", color=colour, label=label)
    left.plot([1, 27], [1, 27], color="black", linewidth=0.7, linestyle=":", label="never one twice")
    left.set(xlabel="visits (the sum stops at its first repeat)", ylabel="different structures")
    left.set_title("3 × 3 × 3 structures", loc="left", fontsize=10)
    left.legend(fontsize=8)
    print("\nKL(p(Γ) ‖ mixture of 26), nats, by the bound on |log s|: " + "  ".join(f"{box:g}" for box in BOXES))
    for (name, values), colour in zip(landscape().items(), (BLUE, RED, YELLOW, GREY), strict=True):
        print(f"  {name:28s} {'  '.join(f'{value:6.2f}' for value in values)}")
        right.plot(BOXES, values, ".-", color=colour, label=name)
    right.set(xlabel="bound on |log s|", ylabel="divergence, nats", ylim=(0, 20))
    right.set_title("p(Γ) at …, 26 of 27 in P", loc="left", fontsize=10)
    right.legend(fontsize=8)
    save(figure, "t09")


if __name__ == "__main__":
    main()

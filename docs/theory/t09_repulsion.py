"""T9: what a sequence of repelled relaxations visits, by the form of repulsion and its strength. Draws figures/t09.png.

python docs/theory/t09_repulsion.py
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from measuring import BLUE, GREEN, GREY, RED, YELLOW, finished, new_figure, save

from structflow.plan.tasks import Task
from structflow.results.run import Run
from structflow.runner.decided import stored_members

EDGES = ("x->u", "x->v", "x->y")
SUM_STRENGTHS = (-3.0, -10.0, -30.0, -100.0)
SEEDS = (0, 1, 2)


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
        members = [each for task in tasks for each in stored_members(context.directory, task)]
        if not members:
            break
        q, p = (
            np.stack([np.stack([each.arrays[f"parameter/{of}/{edge}"] for edge in EDGES]) for each in members])
            for of in ("structure", "prior_structure")
        )
        objectives = [each.found.objective for each in members]
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


def main() -> None:
    """Print every sequence; draw how many different structures each has found by every visit."""
    figure, (axes,) = new_figure(1, width=6.4)
    for seed in SEEDS:
        with finished("t9-repulsion", [f"seed={seed}"]) as run:
            visits = report(f"mixture, c_comb -30, seed {seed}", run)
        label = f"mixture, c_comb −30, seed {seed}"
        axes.plot(range(1, len(visits) + 1), distinct(visits), ".-", color=BLUE, alpha=0.5 + 0.2 * seed, label=label)
    for strength, colour in zip(SUM_STRENGTHS, (YELLOW, RED, GREEN, GREY), strict=True):
        overrides = ["objective.against_form=sum", f"objective.c_comb={strength:g}", "regime.stop_at_repeat=true"]
        with finished("t9-repulsion", overrides) as run:
            visits = report(f"sum, c_comb {strength:g}", run)
        label = f"sum, c_comb {strength:g}".replace("-", "−")
        axes.plot(range(1, len(visits) + 1), distinct(visits), ".-", color=colour, label=label)
    axes.plot([1, 27, 30], [1, 27, 27], color=GREY, linewidth=0.8, linestyle="--", label="without a repeat")
    axes.set_xlabel("visit")
    axes.set_ylabel("different structures found, of 27")
    axes.legend()
    save(figure, "t09")


if __name__ == "__main__":
    main()

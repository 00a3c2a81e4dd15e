"""Parts of summaries made up for tests: what isn't given has a value of no interest."""

from __future__ import annotations

from typing import Any

from structflow.results.models import RankingEntry, Summary

MEASURED = ("still_gaining", "still_gaining_se", "left_to_gain")


def ranking_entry(structure: dict[str, Any], score: float = 0.0, **changes: Any) -> RankingEntry:
    """A structure of a ranking that has converged."""
    place = {"rank": 1, "log_prior": 0.0, "probability": 1.0, "tied_with_best": False}
    found = {"score": score, "score_se": 0.0, "log_evidence": score, "log_evidence_se": 0.0, "hyperparameters": {}}
    by_estimator = {name: {} for name in ("evidence", "evidence_se", "evidence_missing", "evidence_unsure")}
    complexities = dict.fromkeys(("c_param", "c_struct", "relative_density"))
    metrics = {name: {"train": {}, "test": {}} for name in ("metrics", "robustness")}
    convergence = {"converged": True, "converged_unknown": None, **dict.fromkeys(MEASURED, 0.0)}
    known = {**place, **found, **by_estimator, **complexities, **metrics, **convergence}
    return RankingEntry(**{"structure": structure, "restarts": 1, "restart_agreement": 1.0, **known, **changes})


def summary(**changes: Any) -> Summary:
    """The summary of a finished run that found nothing."""
    nothing = {"ranking": [], "unranked": [], "pruned": [], "relaxed": None, "relevance": [], "stages": []}
    head = {"run": "study", "status": "finished", "spec_hash": "0", "n_structures": 12, "criterion": "evidence"}
    end = {"failures": [], "settings": [], "extension": None, "warnings": [], "seconds": 61.4}
    return Summary.model_validate({**head, **nothing, **end, **changes})

"""The example of every kind of plugin: its class, and how a spec uses it. The code is in `templates/examples/`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """One example; `kind` names its hook and its folder, `base` the interface, `module` the file in the package.

    `section` is the part of `spec.yaml` that names it: a key of `SECTIONS`, and the lines to put there, in which
    `{type}` stands for its type.
    """

    kind: str
    base: str
    module: str
    class_name: str
    word: str
    about: str
    section: tuple[str, str]

    def type_name(self, prefix: str) -> str:
        """The word a spec uses."""
        return f"{prefix}_{self.word}"

    def lines(self, prefix: str) -> str:
        """Its lines in a spec."""
        return self.section[1].replace("{type}", self.type_name(prefix))


SECTIONS = {
    "data": "data: {source: sklearn, name: diabetes, split: {test: 0.2}}",
    "likelihood": "  likelihood: {type: gaussian}",
    "basis": "",
    "prior": "",
    "prior_weights": "",
    "prior_structure": "",
    "posterior": "",
    "regime": "regime: {type: enumeration}",
    "criterion": "",
    "inner": "  inner: {steps: 500}",
    "outer": "",
    "evidence": "evidence: {estimators: [elbo]}",
    "metrics": "",
    "relevance": "",
    "trackers": "",
}
"""What `spec.yaml` says where no example takes part; left out where empty."""

RELAXED = "regime: {type: evidence}"
"""The regime of a spec whose structure distribution is to be used: enumeration relaxes nothing."""

EXAMPLES = {
    example.kind: example
    for example in (
        Example(
            "basis_functions", "BasisFunction", "wave", "Wave", "wave",
            "a layer of sines with a frequency",
            ("basis", "        - {type: {type}, frequency: 1.0}"),
        ),
        Example(
            "likelihoods", "Likelihood", "laplace", "Laplace", "laplace",
            "noise with heavy tails on continuous targets",
            ("likelihood", "  likelihood: {type: {type}, scale: learned}"),
        ),
        Example(
            "data_sources", "DataSource", "mackey_glass", "MackeyGlass", "mackey_glass",
            "a chaotic series to forecast",
            ("data", "data: {source: {type}, rows: 400, split: {test: 0.2, rows: last}}"),
        ),
        Example(
            "weight_priors", "WeightPrior", "student_t", "StudentT", "student_t",
            "a prior that leaves large weights as they are",
            ("prior_weights", "  weights: {type: {type}, degrees: 3.0}"),
        ),
        Example(
            "weight_posteriors", "WeightPosterior", "double_exponential", "DoubleExponential", "double_exponential",
            "a posterior with a peak and longer tails than a normal one's",
            ("posterior", "posterior: {weights: {type: {type}}}"),
        ),
        Example(
            "structure_distributions", "StructureDistribution", "ordered", "Ordered", "ordered",
            "a prior that prefers the functions listed first",
            ("prior_structure", "  structure: {type: {type}, decay: 0.5}"),
        ),
        Example(
            "criteria", "Criterion", "corrected_aic", "CorrectedAic", "corrected_aic",
            "Akaike's criterion for few rows",
            ("criterion", "criterion: {type: {type}, threshold: 0.5}"),
        ),
        Example(
            "inner_optimizers", "InnerOptimizer", "rms_ascent", "RmsAscent", "rms_ascent",
            "gradient steps in units of their own size",
            ("inner", "  inner: {type: {type}, steps: 500}"),
        ),
        Example(
            "hypergradients", "Hypergradient", "steepest_descent", "SteepestDescent", "steepest_descent",
            "two levels with a few steps of a linear solver",
            ("outer", "  outer: {type: {type}, descents: 5}"),
        ),
        Example(
            "evidence_estimators", "EvidenceEstimator", "importance_weighted", "ImportanceWeighted",
            "importance_weighted",
            "a bound that tightens with the number of samples",
            ("evidence", "evidence: {estimators: [elbo, {type}], samples: 256}"),
        ),
        Example(
            "metrics", "Metric", "interval_score", "IntervalScore", "interval_score",
            "how narrow and how right predictive intervals are",
            ("metrics", "metrics: [{type: {type}, level: 0.9}]"),
        ),
        Example(
            "regimes", "Regime", "random_search", "RandomSearch", "random_search",
            "structures drawn at random",
            ("regime", "regime: {type: {type}, structures: 2}"),
        ),
        Example(
            "relevances", "Relevance", "information", "Information", "information",
            "the weights that the data told most of",
            ("relevance", "relevance: {criteria: [{type}], shares: [0, 0.5, 0.9]}"),
        ),
        Example(
            "trackers", "Tracker", "csv_tracker", "CsvTracker", "csv",
            "the progress of a run as a table",
            ("trackers", "trackers: [{type: {type}, file: progress.csv}]"),
        ),
    )
}  # fmt: skip
"""Every example by the name of its hook."""

"""Tables of every key of the spec language as Markdown, read from the pydantic models and the installed plugins.

`conf.py` puts them in place of `{{ spec_keys }}` when the documentation is built, so they can't lag behind.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from structflow.plugins import Schedule
from structflow.plugins.registry import registry
from structflow.spec.choice import PluginChoice
from structflow.spec.models import Spec

MEANINGS = {
    "name": "Name of the study, used in folder names and reports.",
    "seed": "Seed of everything random in the study but the split of the data.",
    "data": "Where the table comes from; see below.",
    "model": "The graph of possible structures and the likelihood at its output.",
    "prior": "Priors of the weights and of the structure.",
    "posterior": "The variational family.",
    "objective": "Metaparameters of the two levels.",
    "criterion": "What L and Q are, and what structures are ranked by.",
    "regime": "Which structures are trained after which.",
    "optimizer": "How the weights and the hyperparameters are optimised.",
    "evidence": "How log evidence is estimated after training.",
    "robustness": "Metrics under noise on inputs and weights, beside those without.",
    "compute": "Where and how it runs.",
    "data.split": "Rows held out for the test metrics.",
    "data.standardize": "Shift and scale columns, with the moments of the training rows.",
    "data.standardize.inputs": "Whether every input column gets mean 0 and variance 1, or `together` all as one.",
    "model.likelihood": "p(y | f) at the output node.",
    "model.nodes": "Nodes by name; `x` is the input, `y` the output, and their shapes come from the data.",
    "model.nodes.NAME.shape": "A number, a list, or `{choose: [...]}`, which makes it part of the structure.",
    "model.nodes.NAME.shape.choose": "The shapes among which the structure chooses.",
    "model.edges": "Edges of the graph; parallel edges are refused.",
    "model.edges[].basis": "The candidate basis functions, each `{type: ...}` or just its type.",
    "prior.weights": "p(w | A), of a family with precisions A; see below.",
    "weight_priors.precision": "A: a number, or how learned precisions are grouped.",
    "prior.structure": "The relaxed distribution of the structure weights.",
    "posterior.weights": "The family of q(w); see below.",
    "posterior.structure": "q(Γ), of the prior's family.",
    "posterior.structure.temperature": "Temperature of q(Γ): a number, or learned.",
    "objective.c_reg": "Factor of the KL on the level of the weights.",
    "objective.c_train": "Factor of the log likelihood on the level of the hyperparameters.",
    "objective.c_prior": "Factor of the KL on the level of the hyperparameters.",
    "objective.c_comb": "Factor of the divergence from `against`; a negative one repels.",
    "objective.against": "The distributions that `c_comb` attracts to or repels from.",
    "optimizer.inner": "The optimiser of the variational parameters.",
    "optimizer.outer": "How the hyperparameters are optimised.",
    "optimizer.restarts": "Number of starts of every structure; the best one counts.",
    "evidence.estimators": "Estimators of log evidence; the first one ranks.",
    "evidence.samples": "Fresh Monte Carlo samples for the estimate.",
    "compute.device": "`auto` takes a GPU where there is one.",
    "compute.dtype": "Precision of the training.",
    "compute.members_per_batch": "How many members are trained as one program.",
    "compute.compile": "Whether the training step is compiled to native code; `auto` decides by the size of the study.",
    "basis_functions.dense.activation": "The function applied to every output.",
    "basis_functions.elementwise.function": "The function applied to every element.",
    "basis_functions.polynomial.degree": "Highest power.",
    "schedule.schedule": "The form of the path.",
    "schedule.over": "Whether it runs over the steps of a stage or over the stages.",
}
"""Meanings of the keys that have no description in their model."""

KIND_TITLES = {
    "data_sources": "Data sources: `data`",
    "likelihoods": "Likelihoods: `model.likelihood`",
    "basis_functions": "Basis functions: `model.edges[].basis[]`",
    "weight_priors": "Priors of the weights: `prior.weights`",
    "weight_posteriors": "Posteriors of the weights: `posterior.weights`",
    "structure_distributions": "Structure distributions: `prior.structure`",
    "regimes": "Regimes: `regime`",
    "criteria": "Criteria: `criterion`",
    "inner_optimizers": "Inner optimisers: `optimizer.inner`",
    "hypergradients": "Outer optimisers: `optimizer.outer`",
    "evidence_estimators": "Evidence estimators: `evidence.estimators[]`",
    "metrics": "Metrics: `metrics[]`",
    "relevances": "Criteria of relevance: `relevance.criteria[]`",
    "trackers": "Trackers: `trackers[]`",
}


@dataclass(frozen=True)
class Key:
    """One key: its dotted path, what it takes, its default and its meaning (empty where nothing says it)."""

    path: str
    takes: str
    default: str
    meaning: str
    described: bool


def spec_keys() -> list[Key]:
    """Keys of the spec's own models."""
    return list(keys_of(Spec, ""))


def plugin_keys(kind: str, type_name: str) -> list[Key]:
    """Keys that one plugin adds, without those that its kind has in common."""
    registration = registry().of_kind(kind)[type_name]
    shared = set(common_fields(kind)) | {registration.plugin.key}
    return [
        key for key in keys_of(registration.options, f"{kind}.{type_name}.") if key.path.split(".")[2] not in shared
    ]


def common_keys(kind: str) -> list[Key]:
    """Keys that all plugins of a kind have."""
    registration = next(iter(registry().of_kind(kind).values()))
    prefix = "data." if kind == "data_sources" else f"{kind}."
    names = common_fields(kind)
    return [
        key for key in keys_of(registration.options, prefix) if key.path.removeprefix(prefix).split(".")[0] in names
    ]


def common_fields(kind: str) -> list[str]:
    """Names of the fields that every plugin of a kind inherits from the interface."""
    from structflow.plugins import KINDS

    base: Any = KINDS[kind]
    return list(base.Options.model_fields)


def keys_of(model: type[BaseModel], prefix: str) -> Iterator[Key]:
    """The keys of a model, each followed by those of the models inside it."""
    properties = model.model_json_schema(by_alias=True)["properties"]
    for name, field in model.model_fields.items():
        word = field.alias or name
        path = prefix + word
        choice = plugin_choice(field)
        meaning = field.description or MEANINGS.get(path, "")
        takes = choice_words(choice, field) if choice else describe(properties[word])
        yield Key(path, takes, default_of(field), meaning, field.description is not None)
        for inner, step in models_in(field.annotation):
            yield from keys_of(inner, f"{path}{step}.")


def plugin_choice(field: FieldInfo) -> PluginChoice | None:
    """The kind of plugin a field takes, also inside a list."""
    found = [part for part in walk(field.annotation) if isinstance(part, PluginChoice)]
    found += [part for part in field.metadata if isinstance(part, PluginChoice)]
    return found[0] if found else None


def choice_words(choice: PluginChoice, field: FieldInfo) -> str:
    """What a field takes whose value is one plugin or a list of them."""
    is_list = getattr(field.annotation, "__origin__", None) is tuple
    return f"list of {choice.kind.replace('_', ' ')}" if is_list else f"a {choice.noun}"


def models_in(annotation: Any) -> Iterator[tuple[type[BaseModel], str]]:
    """Models inside a field, with what stands between the field's name and theirs: `[]`, `.NAME` or nothing."""
    outer = getattr(annotation, "__origin__", None)
    step = {tuple: "[]", dict: ".NAME"}.get(outer, "")
    for part in walk(annotation):
        if isinstance(part, type) and issubclass(part, BaseModel) and part is not Schedule:
            yield part, step


def walk(annotation: Any) -> Iterator[Any]:
    """An annotation, its arguments and the metadata of `Annotated`, at every depth."""
    yield annotation
    for part in (*get_args(annotation), *getattr(annotation, "__metadata__", ())):
        yield from walk(part)


def default_of(field: FieldInfo) -> str:
    """The default as it would stand in the spec."""
    if field.is_required():
        return "required"
    value = field.default
    if isinstance(value, BaseModel) or (
        isinstance(value, dict) and any(isinstance(v, BaseModel) for v in value.values())
    ):
        return "its own defaults"
    if isinstance(value, dict) and list(value) == ["type"]:
        return f"`{value['type']}`"
    if isinstance(value, tuple) and value and isinstance(value[0], dict):
        value = [part["type"] for part in value]
    return f"`{json.dumps(value)}`" if not isinstance(value, str) else f"`{value}`"


def describe(schema: dict[str, Any]) -> str:
    """What a JSON schema accepts, in a few words."""
    if "$ref" in schema:
        return "schedule" if schema["$ref"].endswith("/Schedule") else "keys below"
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " or ".join(dict.fromkeys(describe(part) for part in schema[union]))
    if "const" in schema:
        return f"`{json.dumps(schema['const']).strip(chr(34))}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    words = {
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "boolean": "true or false",
        "null": "null",
    }
    kind = schema.get("type")
    if kind == "array":
        return f"list of {describe(schema.get('items', {}))}"
    if kind == "object":
        return "mapping"
    return words.get(str(kind), "anything") + limits(schema)


def limits(schema: dict[str, Any]) -> str:
    """Bounds of a number, such as ` from 1 to 50` or ` ≥ 1`."""
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    given = {sign: schema[key] for key, sign in signs.items() if abs(schema.get(key, 1e300)) < 1e15}
    bounds = {sign: f"{bound:,.0f}" if bound >= 1e6 else f"{bound:,g}" for sign, bound in given.items()}
    if set(bounds) == {"≥", "≤"}:
        return f" from {bounds['≥']} to {bounds['≤']}"
    return "".join(f" {sign} {bound}" for sign, bound in bounds.items())


def plain(text: str) -> str:
    """Text with the characters escaped that Markdown would take for markup, outside of code."""
    pieces = text.split("`")
    pieces[::2] = [re.sub(r"([\\*_<\[\]])", r"\\\1", piece) for piece in pieces[::2]]
    return "`".join(pieces).replace("|", "\\|")


def table(keys: list[Key], prefix: str = "") -> str:
    """A Markdown table of keys, named without `prefix`."""
    rows = ["| key | takes | default | meaning |", "|---|---|---|---|"]
    for key in keys:
        cells = [f"`{key.path.removeprefix(prefix)}`", key.takes, key.default, key.meaning]
        rows.append("| " + " | ".join(map(plain, cells)) + " |")
    return "\n".join(rows)


def markdown() -> str:
    """All tables, under headings of the second and third level."""
    parts = ["## Every key", table(spec_keys())]
    for kind, title in KIND_TITLES.items():
        parts.append(f"## {title}")
        shared = common_keys(kind)
        if shared:
            parts += ["All of them take:", table(shared, "data." if kind == "data_sources" else f"{kind}.")]
        for type_name, registration in registry().of_kind(kind).items():
            parts += [f"### `{type_name}`", summary(registration.plugin)]
            own = plugin_keys(kind, type_name)
            if own:
                parts.append(table(own, f"{kind}.{type_name}."))
    parts += [
        "## Schedules",
        "A metaparameter is a number or a mapping:",
        table(list(keys_of(Schedule, "schedule.")), "schedule."),
    ]
    return "\n\n".join(parts)


def summary(plugin: type) -> str:
    """The first paragraph of a plugin's docstring, on one line."""
    return plain(" ".join((plugin.__doc__ or "").strip().split("\n\n")[0].split()))

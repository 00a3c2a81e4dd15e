"""result.zarr: what xarray opens is labelled, complete, and says what the summary says."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import studies
import xarray
import zarr

from structflow.runner.evaluate import load_evaluated


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return studies.run(studies.wide(), tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def tree(run):
    return xarray.open_datatree(run.path / "result.zarr", engine="zarr")


def test_it_opens_without_a_warning(run, recwarn):
    opened = xarray.open_datatree(run.path / "result.zarr", engine="zarr")
    assert opened.attrs["run"] == "run"
    assert opened.attrs["status"] == "finished"
    assert [str(warning.message) for warning in recwarn] == []
    group = zarr.open_group(run.path / "result.zarr", mode="r")
    assert group.metadata.zarr_format == 3
    assert group.metadata.consolidated_metadata is not None
    assert not list(run.path.glob(".*"))  # nothing unfinished is left beside it


def test_the_groups(tree):
    setting = tree["setting_0"]
    assert set(setting.children) == {"ranking", "restarts", "trajectory", "posterior", "timing"}
    assert set(setting["posterior"].children) == {f"structure_{number}" for number in range(8)}


def test_dimensions_have_names_and_values_have_units(tree):
    for group in tree.subtree:
        for name, variable in group.to_dataset(inherit=False).variables.items():
            assert all(not dimension.startswith("dim_") for dimension in variable.dims), name
    ranking = tree["setting_0/ranking"]
    assert ranking["log_evidence"].dims == ("structure",)
    assert ranking["evidence"].dims == ("structure", "estimator")
    assert ranking["log_evidence"].attrs["units"] == "nats"
    assert "description" in ranking["probability"].attrs
    assert tree["setting_0/restarts"]["score"].dims == ("structure", "restart")
    assert tree["setting_0/trajectory/enumerate/stage_0"]["log_likelihood"].dims == ("member", "step")


def test_the_ranking_is_the_summary_s(run, tree):
    """Every number that `show --json` prints, in the same order."""
    ranking, entries = tree["setting_0/ranking"], run.ranking
    for key in (
        "log_evidence",
        "log_evidence_se",
        "probability",
        "c_param",
        "c_struct",
        "restarts",
        "restart_agreement",
        "converged",
        "still_gaining",
        "still_gaining_se",
    ):
        assert ranking[key].values.tolist() == [entry[key] for entry in entries], key
    for rows in ("train", "test"):
        for metric in entries[0]["metrics"][rows]:
            values = ranking[f"{rows}_{metric}"].values.tolist()
            assert values == [entry["metrics"][rows][metric] for entry in entries]
    assert ranking["evidence"].sel(estimator="elbo").values.tolist() == [entry["evidence"]["elbo"] for entry in entries]
    first = entries[0]["structure"]
    assert ranking["choice x->h"].values[0] == first["x->h"][0]
    assert ranking["choice h"].values[0] == str(first["h"][0])
    assert first["x->h"][0] in str(ranking["structure"].values[0])


def test_metrics_under_noise_have_the_deviations_as_a_dimension(tmp_path):
    """`test_rmse_input_noise` (structure, input_noise); without noise they are the metrics without it."""
    document = studies.spec(
        optimizer={"inner": {"steps": 2}, "restarts": 1},
        robustness={"inputs": [0, 0.5, 1], "weights": [0.25], "samples": 3},
    )
    found = studies.run(document, tmp_path / "run")
    ranking = xarray.open_datatree(found.path / "result.zarr", engine="zarr")["setting_0/ranking"]
    assert ranking["test_rmse_input_noise"].dims == ("structure", "input_noise")
    assert ranking["train_log_likelihood_weight_noise"].dims == ("structure", "weight_noise")
    assert ranking["input_noise"].values.tolist() == [0, 0.5, 1]
    assert ranking["weight_noise"].values.tolist() == [0.25]
    for number, entry in enumerate(found.ranking):
        for rows in ("train", "test"):
            for place, noise in (("inputs", "input_noise"), ("weights", "weight_noise")):
                by_deviation = entry["robustness"][rows][place]
                for metric in ("rmse", "mae", "log_likelihood"):
                    values = ranking[f"{rows}_{metric}_{noise}"].values[number].tolist()
                    assert values == [metrics[metric] for metrics in by_deviation.values()]
            plain = {name: value for name, value in entry["metrics"][rows].items() if name != "calibration_error"}
            assert entry["robustness"][rows]["inputs"]["0"] == plain
            assert entry["robustness"][rows]["inputs"]["1"] != plain
    assert found.best.robustness == found.ranking[0]["robustness"]


def test_scores_of_restarts_are_the_records_(run, tree):
    selection = studies.records(run.path)["setting0-select"]["payload"]["structures"]
    restarts = tree["setting_0/restarts"]
    np.testing.assert_array_equal(restarts["score"].values, [item["scores"] for item in selection])
    assert restarts["restart"].values.tolist() == [0, 1, 2]


def test_trajectories_are_those_of_every_member(run, tree):
    """24 members, each at 30 of 30 steps; those of one batch are its record's arrays."""
    stage = tree["setting_0/trajectory/enumerate/stage_0"]
    assert dict(stage.sizes) == {"member": 24, "step": 30}
    assert {"log_likelihood", "kl_weights", "kl_structure"} <= set(stage.data_vars)
    for member in studies.trained(run, "setting0-round0-batch2-stage0-train"):
        name = member.arrays["trajectory/kl_weights"]
        matches = [
            place
            for place in range(24)
            if np.array_equal(stage["kl_weights"].values[place], name)
            and int(stage["restart"].values[place]) == member.candidate.restart
        ]
        assert len(matches) == 1


def test_posteriors_are_the_evaluated_parameters(run, tree):
    """Mean and exp(log sd) of the very parameters that the evidence was estimated with, by rank."""
    ranks = {json.dumps(entry["structure"]): number for number, entry in enumerate(run.ranking)}
    seen = 0
    for evaluated in load_evaluated(run.context, 0):
        for number, member in enumerate(evaluated.trained.bound.population.members):
            group = tree[f"setting_0/posterior/structure_{ranks[json.dumps(member.structure.as_dict())]}"]
            assert group.attrs["restart"] == member.restart
            parameters = evaluated.trained.bound.labelled(evaluated.trained.parameters)
            population = evaluated.trained.bound.population
            for index, weights in enumerate(population.layout.groups):
                slot = int(population.groups[index].positions[number])
                if slot == len(population.groups[index].slots):
                    assert not any(str(name).startswith(f"{weights.name}.") for name in group.data_vars)
                    continue
                for weight in weights.shapes:
                    label = f"{weights.name}.{weight}".replace("/", ":")
                    mean = weights.split(parameters[f"mean/{weights.name}"][slot])[weight]
                    deviation = weights.split(parameters[f"log_sd/{weights.name}"][slot])[weight].exp()
                    np.testing.assert_allclose(group[f"{label} mean"].values, mean.numpy())
                    np.testing.assert_allclose(group[f"{label} sd"].values, deviation.numpy())
                    seen += 1
    assert seen >= 8 * 4  # two weights in each of two functions at least


def test_timings_are_the_records_(run, tree):
    timing = tree["setting_0/timing"]["seconds"]
    stored = {name: record["seconds"] for name, record in studies.records(run.path).items()}
    assert dict(zip(timing["task"].values.tolist(), timing.values.tolist(), strict=True)) == stored
    assert timing.attrs["units"] == "s"


def test_names_longer_than_file_names(tmp_path):
    """The name of a structure can have more than 255 letters, which no file system takes for a folder."""
    nodes = {letter * 60: {"shape": [1]} for letter in "abc"}
    edges = [
        edge
        for node in nodes
        for edge in ({"from": "x", "to": node, "basis": ["dense"]}, {"from": node, "to": "y", "basis": ["linear"]})
    ]
    document = studies.spec(
        model=studies.model(edges, **nodes), optimizer={"inner": {"steps": 1}, "restarts": 1}, evidence={"samples": 2}
    )
    found = studies.run(document, tmp_path / "run")
    name = found.dataset["setting_0/posterior/structure_0"].attrs["structure"]
    assert len(name) > 255
    assert name == str(found.dataset["setting_0/ranking"]["structure"].values[0])


def test_functions_with_slashes_in_their_names(tmp_path):
    """`/` separates groups in Zarr."""
    edge = {"from": "x", "to": "y", "choose": "one", "basis": [{"type": "linear", "name": "a/b"}, "dense"]}
    document = studies.spec(
        model=studies.model([edge]), optimizer={"inner": {"steps": 1}, "restarts": 1}, evidence={"samples": 2}
    )
    found = studies.run(document, tmp_path / "run")
    names = {str(name) for group in found.dataset["setting_0/posterior"].children.values() for name in group.data_vars}
    assert "x->y:a:b.weight mean" in names


def test_structflow_is_not_needed_to_read_it(run, tmp_path):
    code = (
        "import sys, xarray\n"
        f"tree = xarray.open_datatree({str(run.path / 'result.zarr')!r}, engine='zarr')\n"
        "assert tree['setting_0/ranking'].sizes['structure'] == 8\n"
        "assert 'structflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)

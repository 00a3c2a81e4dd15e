"""The summary as models: the JSON that is stored and printed, attributes and keys."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping

import pytest
import studies
import summaries

import structflow
from structflow.results.models import Summary
from structflow.results.read import list_runs
from structflow.results.run import Run
from structflow.store.inspection import publish_summary
from structflow.store.run_directory import RunDirectory


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return studies.run(studies.spec(), tmp_path_factory.mktemp("summary") / "run")


def test_the_json_that_is_stored_printed_and_dumped_is_one(run, cli):
    """Keys in the same order, too: `rank` first, and no key of what only other runs have."""
    stored = (run.path / "summary.json").read_text(encoding="utf-8")
    printed = cli("show", run.path, "--json").out
    dumped = run.summary.model_dump(mode="json")
    assert json.dumps(json.loads(stored)) == json.dumps(json.loads(printed)) == json.dumps(dumped)
    assert list(dumped["ranking"][0])[:3] == ["rank", "structure", "score"]
    assert not {"rows", "certificate"} & set(dumped)


def test_keys_are_attributes(run):
    entry = run.ranking[0]
    assert entry["score"] == entry.score
    assert list(entry) == list(dict(entry)) == list(entry.model_dump())
    assert {**entry, "rank": 7}["rank"] == 7
    assert "rank" in entry
    assert run.summary.get("rows", 5) == 5
    assert isinstance(entry, Mapping)
    assert "rows" not in run.summary
    with pytest.raises(KeyError):
        run.summary["rows"]  # of tables larger than memory alone
    with pytest.raises(KeyError):
        entry["model_dump"]


def test_the_schema_knows_every_key(run, cli):
    """What a run has is in the schema, and nothing else is allowed."""
    schema = json.loads(cli("schema", "--of", "summary").out)
    assert set(run.summary.model_dump()) <= set(schema["properties"])
    entry = schema["$defs"]["RankingEntry"]
    assert set(entry["properties"]) == set(run.ranking[0].model_dump())
    assert entry["additionalProperties"] is False


def test_nothing_is_changed_by_reading():
    """A made-up summary with an empty ranking, written and read again."""
    summary = summaries.summary(status="failed", warnings=["a"])
    assert Summary.model_validate_json(summary.model_dump_json()) == summary


def test_a_summary_with_other_keys_is_damage(run, tmp_path, cli):
    """As of a version to come: exit code 3 and one sentence, and `list` goes on; what is said to do helps."""
    copied = tmp_path / "copied"
    shutil.copytree(run.path, copied)
    publish_summary(RunDirectory(copied), {**run.summary.model_dump(mode="json"), "mood": "good"})
    shown = cli("show", copied)
    assert shown.code == 3
    assert "summary.json isn't what this version of structflow writes: mood: Extra inputs" in shown.err
    assert [row.status for row in list_runs(tmp_path)] == ["damaged"]
    (copied / "summary.json").unlink()
    assert cli("resume", copied, "--quiet").code == 0
    assert structflow.Run(copied).ranking == run.ranking

"""What is offered to structflow from outside can't run, leave the run directory, or listen to the world."""

from __future__ import annotations

import itertools
import json
import os
import pkgutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import studies
import torch
from clusters import ended, started, wait_until
from sabotage import path_with

from structflow.cli import commands
from structflow.store.run_directory import RunDirectory


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a\0b", "x" * 300, "", ".", "..", "a/b", "con\n", "-x"], ids=lambda name: repr(name[:8])
)
def test_names_stay_in_the_run_directory(cli, tmp_path, name):
    """Fault 24: the field is named, exit 2, and nothing is written anywhere."""
    document = {**studies.spec(), "name": name}
    (tmp_path / "spec.yaml").write_text(json.dumps(document))
    before = sorted(tmp_path.rglob("*"))
    called = cli("run", tmp_path / "spec.yaml")
    assert called.code == 2
    assert "name" in called.err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_symbolic_link_as_output_is_followed_only_to_an_empty_folder(cli, tmp_path):
    """Fault 24: a link to a folder of other things is refused; they stay as they are."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("all of it")
    (tmp_path / "run").symlink_to(precious)
    called = cli("run", studies.write(studies.spec(), tmp_path), "-o", tmp_path / "run")
    assert called.code == 2
    assert "is not empty and not a run directory" in called.err
    assert [path.name for path in precious.iterdir()] == ["thesis.txt"]


NESTED = {"a": "x", "b": "*a", "c": "*b"}
BOMB = "".join(f"{name}: &{name} [{', '.join([inside] * 9)}]\n" for name, inside in NESTED.items())


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (BOMB, 2),
        ("structflow: 1\ndata: !!python/object/apply:os.system ['touch ran']\n", 2),
        ("structflow: 1\nname: a\nname: b\n", 3),
        ("structflow: 1\nseed: .nan\n", 2),
    ],
    ids=["alias bomb", "object", "duplicate key", "nan"],
)
def test_dangerous_yaml(cli, text, line):
    """Fault 23: refused within a second, with the line; nothing in it runs."""
    Path("spec.yaml").write_text(text)
    started = time.perf_counter()
    called = cli("validate", "spec.yaml")
    assert time.perf_counter() - started < 1.0
    assert called.code == 2
    assert f"line {line}" in called.out + called.err
    assert not Path("ran").exists()


def test_a_huge_file(cli):
    """Fault 23: ten megabytes are refused within a second."""
    Path("spec.yaml").write_text("structflow: 1\n" + "# a comment that says nothing at all\n" * 280_000)
    started = time.perf_counter()
    called = cli("validate", "spec.yaml")
    assert time.perf_counter() - started < 1.0
    assert called.code == 2


def test_numbers_as_people_write_them(cli):
    """Fault 23: 1e-3 is a number, where YAML 1.1 has a text."""
    document = studies.spec()
    document["optimizer"]["inner"]["lr"] = 0.125
    spec = studies.write(document, Path())
    spec.write_text(spec.read_text().replace("0.125", "1e-3"))
    assert cli("validate", spec).code == 0
    assert "lr: 0.001" in cli("render", spec).out


def test_more_structures_than_can_be_counted_one_by_one(cli):
    """Fault 25: 2^40 are counted by arithmetic, and refused in under a second."""
    functions = [{"type": "polynomial", "degree": number} for number in range(40)]
    edge = {"from": "x", "to": "y", "choose": "any", "basis": functions}
    spec = studies.write(studies.spec(model=studies.model([edge])), Path())
    cli("validate", spec)  # imports are not what is timed
    started = time.perf_counter()
    called = cli("plan", spec)
    assert time.perf_counter() - started < 1.0
    assert called.code == 2
    assert "max_structures" in called.err
    assert f"{2**40:,}" in called.err or str(2**40) in called.err


def test_time_that_jumps(cli, tmp_path, monkeypatch):
    """Fault 9: with a clock that jumps by hours forth and back the records are the same: nothing is ordered by it."""
    spec = studies.write(studies.spec(), tmp_path)
    undisturbed = studies.run(studies.spec(), tmp_path / "calm").path
    honest, signs = time.time, itertools.cycle((-1, 1))
    monkeypatch.setattr(time, "time", lambda: honest() + 7200 * next(signs))
    called = cli("run", spec, "-o", tmp_path / "jumping", "--quiet")
    assert (called.code, called.out, called.err) == (0, "", "")
    assert studies.digests(tmp_path / "jumping") == studies.digests(undisturbed)
    assert studies.result_digests(tmp_path / "jumping") == studies.result_digests(undisturbed)


COMMANDS = {
    "init": ["made"],
    "validate": ["spec.yaml"],
    "schema": [],
    "render": ["spec.yaml"],
    "plan": ["spec.yaml"],
    "run": ["spec.yaml", "-o", "run", "--quiet"],
    "certify": ["spec.yaml", "--method", "hoag", "--steps", "2", "--members", "1", "--coordinates", "1"],
    "list": ["."],
    "show": ["run"],
    "resume": ["run"],
    "verify": ["run"],
    "gc": ["run"],
    "plot": ["run", "-o", "ranking.png"],
    "predict": ["run", "rows.csv", "-o", "predicted.csv"],
    "plugins": [],
    "doctor": [],
}
"""A call of every command, in an order in which each finds what it needs."""

CALL_ALL = """
import json, sys
from called import call_main
calls = json.load(sys.stdin)
print(json.dumps({name: vars(call_main(name, *arguments)) for name, arguments in calls.items()}))
"""


@pytest.mark.faults
def test_a_plugin_that_crashes_on_import(tmp_path):
    """Fault 20: every command still works, and each that looks for plugins says which package failed."""
    site = tmp_path / "site"
    metadata = site / "broken_package-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "broken_package.py").write_text("raise RuntimeError('a fault of the package')\n")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-package\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[structflow]\nbroken = broken_package\n")
    studies.write(studies.spec(), tmp_path)
    (tmp_path / "rows.csv").write_text("x0,x1\n0.0,1.0\n")
    assert {*COMMANDS} == {each.name for each in pkgutil.iter_modules(commands.__path__)}
    done = subprocess.run(
        [sys.executable, "-c", CALL_ALL], input=json.dumps(COMMANDS), cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path_with(site, Path(studies.__file__).parent)}, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    doctor = found.pop("doctor")  # its exit code says that something is to be repaired
    assert doctor["code"] == 1
    assert "broken-package: RuntimeError: a fault of the package" in doctor["out"]
    assert {name: each["code"] for name, each in found.items()} == dict.fromkeys(found, 0), found
    warning = "warning: the plugin package broken-package is broken (RuntimeError: a fault of the package): look with"
    for name in ("validate", "plan", "run", "plugins", "predict"):
        assert found[name]["err"].startswith(warning), name
        assert len(found[name]["err"].splitlines()) == 1
    digests = studies.digests(tmp_path / "run")
    assert digests == studies.digests(studies.run(studies.spec(), tmp_path / "undisturbed").path)


@pytest.mark.faults
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs /proc/net/tcp")
def test_nothing_listens_beyond_this_machine(tmp_path, sabotage):
    """Fault 22: while a run with workers is under way, none of its sockets listens on another address than loopback."""
    studies.write(studies.spec(optimizer={"inner": {"steps": 30}, "restarts": 1}), tmp_path)
    sabotage.hold()
    command = ("run", "spec.yaml", "-o", "run", "--quiet", "--workers", "2")
    with started(*command, cwd=tmp_path, **sabotage.environment) as process:
        wait_until(lambda: sabotage.is_holding, "a worker trains", process)
        listening = listening_addresses(process.pid)
        sabotage.release()
        assert ended(process, 0) == ""
    assert len(listening) >= 3  # the scheduler and each worker
    assert all(address.startswith(("127.", "::1")) for address in listening), listening


def listening_addresses(group: int) -> list[str]:
    """Addresses that processes of a process group listen on, from /proc."""
    code = (
        "import os, sys, socket, glob\n"
        "group = int(sys.argv[1])\n"
        "inodes = set()\n"
        "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "    try:\n"
        "        if os.getpgid(int(pid)) != group: continue\n"
        "        for link in glob.glob(f'/proc/{pid}/fd/*'):\n"
        "            target = os.readlink(link)\n"
        "            if target.startswith('socket:['): inodes.add(target[8:-1])\n"
        "    except OSError: continue\n"
        "for name, family, width in (('tcp', socket.AF_INET, 8), ('tcp6', socket.AF_INET6, 32)):\n"
        "    for line in open(f'/proc/net/{name}').read().splitlines()[1:]:\n"
        "        parts = line.split()\n"
        "        if parts[3] == '0A' and parts[9] in inodes:\n"
        "            raw = bytes.fromhex(parts[1].split(':')[0])\n"
        "            raw = b''.join(raw[i:i + 4][::-1] for i in range(0, len(raw), 4))\n"
        "            print(socket.inet_ntop(family, raw))\n"
    )
    found = subprocess.run([sys.executable, "-c", code, str(group)], capture_output=True, text=True, check=True)
    return found.stdout.split()


@pytest.mark.parametrize("command", ["show", "verify", "gc", "predict"])
def test_a_pickle_in_place_of_a_run(cli, tmp_path, command):
    """Fault 21: a file of torch.save is no run: exit 2, and nothing in it runs."""
    ran, offered = tmp_path / "ran", tmp_path / "model.pt"

    class Trap:
        def __reduce__(self):
            return Path.touch, (ran,)

    torch.save({"state": Trap()}, offered)
    (tmp_path / "rows.csv").write_text("x0,x1\n0,0\n")
    rest = [tmp_path / "rows.csv", "-o", tmp_path / "out.csv"] if command == "predict" else []
    called = cli(command, offered, *rest)
    assert called.code == 2
    assert f"{offered} is not a run directory" in called.err
    assert not ran.exists()


def test_records_hold_no_code(tmp_path):
    """Everything that is read back is JSON or numbers: no file of a run holds a pickle."""
    run = studies.run(studies.spec(), tmp_path / "run").path
    for path in run.rglob("*"):
        if path.is_file():
            assert not path.read_bytes().startswith(b"\x80\x04"), path
            assert path.suffix not in (".pkl", ".pt", ".pickle"), path
    assert RunDirectory(run).has("summary.json")

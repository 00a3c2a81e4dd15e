"""The digest of a package's code: it changes with the code and with nothing else, wherever the package is found."""

from __future__ import annotations

import importlib
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from structflow.plugins.packages import plugin_sources
from structflow.plugins.sources import NO_SOURCE, source_digest

FILES = {"stranger/__init__.py": "", "stranger/inner/__init__.py": "", "stranger/inner/basis.py": "AMOUNT = 1\n"}


@pytest.fixture
def digest_at(monkeypatch, tmp_path):
    """The digest of a package as a fresh process finds it in a folder or zip file."""

    def of(place: Path, package: str = "stranger") -> str:
        with monkeypatch.context() as patched:
            patched.syspath_prepend(str(place))
            sys.path_importer_cache.clear()
            importlib.invalidate_caches()
            source_digest.cache_clear()
            return source_digest(package)

    yield of
    source_digest.cache_clear()


def written(folder: Path, **changed: str) -> Path:
    for name, text in {**FILES, **{name.replace("__", "/") + ".py": text for name, text in changed.items()}}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def zipped(folder: Path, file: Path) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.rglob("*.*")):
            archive.write(path, path.relative_to(folder))
    return file


def test_one_changed_line_deep_inside(digest_at, tmp_path):
    one = digest_at(written(tmp_path / "a"))
    assert one == digest_at(written(tmp_path / "b"))  # wherever it is
    assert one != digest_at(written(tmp_path / "c", stranger__inner__basis="AMOUNT = 2\n"))
    assert one != digest_at(written(tmp_path / "d", stranger__extra=""))  # an empty module is one more
    assert len(one) == 12


def test_a_renamed_module_is_other_code(digest_at, tmp_path):
    one = digest_at(written(tmp_path / "a"))
    other = written(tmp_path / "b")
    (other / "stranger/inner/basis.py").rename(other / "stranger/inner/bases.py")
    assert digest_at(other) != one


def test_caches_and_tables_are_no_code(digest_at, tmp_path):
    one = digest_at(written(tmp_path / "a"))
    beside = written(tmp_path / "b")
    (beside / "stranger/__pycache__").mkdir()
    (beside / "stranger/__pycache__/basis.cpython-311.pyc").write_bytes(b"cache")
    (beside / "stranger/notes.txt").write_text("notes")
    assert digest_at(beside) == one


def test_compiled_modules_are_code(digest_at, tmp_path):
    one = digest_at(written(tmp_path / "a"))
    beside = written(tmp_path / "b")
    (beside / "stranger/fast.so").write_bytes(b"\x7fELF one")
    two = digest_at(beside)
    (beside / "stranger/fast.so").write_bytes(b"\x7fELF two")
    assert len({one, two, digest_at(beside)}) == 3


def test_a_zip_file_holds_the_same_code(digest_at, tmp_path):
    folder = written(tmp_path / "a")
    assert digest_at(zipped(folder, tmp_path / "a.zip")) == digest_at(folder)
    changed = written(tmp_path / "b", stranger__inner__basis="AMOUNT = 2\n")
    assert digest_at(zipped(changed, tmp_path / "b.zip")) == digest_at(changed) != digest_at(folder)


def test_a_single_module_and_a_namespace_package(digest_at, tmp_path):
    (tmp_path / "alone.py").write_text("AMOUNT = 1\n")
    one = digest_at(tmp_path, "alone")
    (tmp_path / "alone.py").write_text("AMOUNT = 2\n")
    assert one != digest_at(tmp_path, "alone")
    shutil.rmtree(tmp_path / "a", ignore_errors=True)
    spread = written(tmp_path / "a")
    (spread / "stranger/__init__.py").unlink()  # found as a namespace package
    assert digest_at(spread) not in (NO_SOURCE, digest_at(written(tmp_path / "c")))


def test_nothing_there(digest_at, tmp_path):
    assert digest_at(tmp_path, "nobody") == NO_SOURCE
    assert digest_at(tmp_path, "nobody.inner") == NO_SOURCE


def test_structflow_and_its_plugins_are_among_the_versions():
    from structflow.runner.cluster_checks import other_versions, versions_here

    found = plugin_sources()
    assert found["structflow's code"] == source_digest("structflow") != NO_SOURCE
    here = versions_here()
    assert found.items() <= here.items()
    changed = {**here, "structflow's code": "0123456789ab"}
    line = f"structflow's code 0123456789ab; here {source_digest('structflow')}"
    assert other_versions(changed, here) == [line]

"""The compiler's cache is in a folder that this user can write to, and nobody else."""

from __future__ import annotations

import os

import pytest

from structflow.train.compiler_cache import compiler_cache, temporary_cache


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch, tmp_path):
    for name in ("TORCHINDUCTOR_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    temporary_cache.cache_clear()
    yield
    temporary_cache.cache_clear()


@pytest.fixture
def nobody(monkeypatch):
    """No HOME and no entry in the list of users: `~` stays as it is."""
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)


def test_in_the_home_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert compiler_cache() == tmp_path / "home" / ".cache" / "structflow" / "inductor"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert compiler_cache() == tmp_path / "cache" / "structflow" / "inductor"


def test_without_a_home_directory(nobody, tmp_path):
    folder = compiler_cache()
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700
    assert compiler_cache() == folder


def test_a_named_folder_needs_no_home_directory(nobody, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "named"))
    assert compiler_cache() == tmp_path / "named"


def test_a_home_directory_that_cannot_be_written_to(monkeypatch, tmp_path):
    """As of the user `nobody`, whose home is / or doesn't exist."""
    monkeypatch.setenv("HOME", "/proc/nowhere")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert compiler_cache().parent == tmp_path


@pytest.mark.parametrize("planted", ["link", "open to others"])
def test_a_folder_that_others_planted_is_not_used(nobody, tmp_path, planted):
    """Programs in it are loaded as code."""
    name = tmp_path / f"structflow-inductor-{os.getuid()}"
    if planted == "link":
        (tmp_path / "theirs").mkdir()
        name.symlink_to(tmp_path / "theirs")
    else:
        name.mkdir()
        name.chmod(0o777)
    folder = compiler_cache()
    assert folder.resolve() != name.resolve()
    assert folder.stat().st_mode & 0o777 == 0o700

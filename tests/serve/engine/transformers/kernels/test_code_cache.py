"""What is kept is read again, and nothing that anybody else could have written."""

from __future__ import annotations

import ast
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from models import home
from serve.engine.transformers.kernels import code_cache, processor

CODE = b"machine code"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this key, with one kernel."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code_cache.write("gate", CODE)
    [found] = (tmp_path / "intramural/kernels").iterdir()
    return found


def test_what_is_kept_is_read(folder: Path) -> None:
    assert code_cache.read("gate") == CODE
    assert code_cache.read("norm") is None
    assert folder.stat().st_mode & 0o777 == 0o700
    code_cache.write("gate", b"other")
    assert code_cache.read("gate") == b"other"


def test_compiled_code_hangs_on_files_of_the_key_alone() -> None:
    """A constant of another file could change, and code that was kept would not."""
    folder = Path(code_cache.__file__).parent
    package = code_cache.__name__.rpartition(".")[0]
    compiled = [path for path in folder.glob("*.py") if "@kernel_of" in path.read_text()]
    assert compiled
    for path in compiled:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("serve"):
                assert (node.module or "").startswith(package), (path.name, node.module)


def _write(folder: Path, data: bytes) -> None:
    (folder / "gate").write_bytes(data)


def _replace_by_link(folder: Path, name: str) -> None:
    path = folder / name if name else folder
    moved = path.rename(path.with_name(f"{path.name}-moved"))
    path.symlink_to(moved)


def _large(folder: Path) -> None:
    _write(folder, (folder / "gate").read_bytes() + bytes(code_cache.MAX_BYTES))


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda folder: _write(folder, b""), id="empty"),
        pytest.param(lambda folder: _write(folder, bytes(32) + CODE), id="another digest"),
        pytest.param(
            lambda folder: _write(folder, (folder / "gate").read_bytes()[:-1]), id="cut short"
        ),
        pytest.param(_large, id="too large"),
        pytest.param(lambda folder: (folder / "gate").chmod(0o620), id="written by the group"),
        pytest.param(lambda folder: folder.chmod(0o777), id="a folder that all may write to"),
        pytest.param(lambda folder: _replace_by_link(folder, "gate"), id="a link"),
        pytest.param(lambda folder: _replace_by_link(folder, ""), id="a folder that is a link"),
        pytest.param(lambda folder: folder.parent.chmod(0o777), id="a root that all may write to"),
        pytest.param(
            lambda folder: _replace_by_link(folder.parent, ""), id="a root that is a link"
        ),
    ],
)
def test_what_may_be_anothers_is_not_run(folder: Path, spoil: Callable[[Path], None]) -> None:
    spoil(folder)
    assert code_cache.read("gate") is None


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o077])
def test_what_is_kept_is_closed_whatever_the_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    former = os.umask(umask)
    try:
        code_cache.write("gate", CODE)
    finally:
        os.umask(former)
    assert code_cache.read("gate") == CODE
    assert [
        path.stat().st_mode & 0o077 for path in (tmp_path / "intramural/kernels").rglob("*")
    ] == [
        0,
        0,
    ]


def test_a_link_in_its_place_costs_nothing_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    for number in range(2 * code_cache.MOST_KEYS):
        (elsewhere / f"{number:032x}").mkdir(parents=True)
    (tmp_path / "intramural").mkdir()
    (tmp_path / "intramural/kernels").symlink_to(elsewhere)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code_cache.write("gate", CODE)
    assert code_cache.read("gate") is None
    assert len(list(elsewhere.iterdir())) == 2 * code_cache.MOST_KEYS


def test_only_folders_of_keys_are_forgotten(folder: Path) -> None:
    for number in range(2 * code_cache.MOST_KEYS):
        (folder.parent / f"of somebody {number}").mkdir()
    shutil.rmtree(folder)
    code_cache.write("gate", CODE)
    assert len(list(folder.parent.iterdir())) == 2 * code_cache.MOST_KEYS + 1


def test_the_log_says_why_nothing_is_kept(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    code_cache._say_once.cache_clear()
    folder.chmod(0o770)
    with caplog.at_level("INFO"):
        code_cache.write("gate", CODE)
        code_cache.write("norm", CODE)
    [record] = caplog.records
    assert str(folder) in record.__dict__["reason"]
    assert "chmod 700" in record.__dict__["reason"]


def test_who_has_no_home_is_told_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    code_cache._say_once.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr(home, "home", lambda: None)
    with caplog.at_level("INFO"):
        code_cache.write("gate", CODE)
    assert code_cache.read("gate") is None
    [record] = caplog.records
    assert "no home directory" in record.__dict__["reason"]


def test_another_users_folder_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = folder.stat().st_uid
    monkeypatch.setattr(code_cache.os, "geteuid", lambda: owner + 1)
    assert code_cache.read("gate") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr(processor, "identity", lambda: ("znver9", "+avx512")),
        lambda patch: patch.setattr(code_cache.platform, "python_version", lambda: "3.99.0"),
        lambda patch: patch.setattr(code_cache.importlib.metadata, "version", lambda _: "99"),
        lambda patch: patch.setenv("NUMBA_OPT", "1"),
    ],
    ids=["processor", "Python", "Numba and LLVM", "Numba's settings"],
)
def test_code_of_something_else_is_not_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[pytest.MonkeyPatch], None]
) -> None:
    assert code_cache.read("gate") == CODE
    code_cache._digest.cache_clear()
    change(monkeypatch)
    assert code_cache.read("gate") is None
    code_cache._digest.cache_clear()


def test_a_changed_source_is_another_key(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "kernels.py"
    source.write_text("one")
    monkeypatch.setattr(code_cache, "__file__", str(source))
    code_cache._digest.cache_clear()
    code_cache.write("gate", CODE)
    source.write_text("two")
    code_cache._digest.cache_clear()
    assert code_cache.read("gate") is None
    code_cache._digest.cache_clear()


def test_where_nothing_can_be_written_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "intramural").write_text("a file in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code_cache.write("gate", CODE)
    assert code_cache.read("gate") is None


def test_old_keys_are_forgotten(folder: Path) -> None:
    for number in range(2 * code_cache.MOST_KEYS):
        (folder.parent / f"{number:032x}").mkdir()
    (folder / "gate").unlink()
    folder.rmdir()
    code_cache.write("gate", CODE)
    assert len(list(folder.parent.iterdir())) == code_cache.MOST_KEYS
    assert code_cache.read("gate") == CODE

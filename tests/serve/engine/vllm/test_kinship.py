"""Children are found with the kernel's lists and without; all processes are read once a look."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.engine.vllm import kinship
from serve.engine.vllm.kinship import Kinship, parent_of
from serve.engine.vllm.processes import engine_family, family

PARENTS = {10: 1, 11: 10, 12: 11, 13: 10, 20: 1}
"""Two families: 10 with 11, 12 and 13, and 20 alone."""


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc without lists of children, with a name that looks like fields."""
    for pid, parent in PARENTS.items():
        (tmp_path / str(pid) / "task" / str(pid)).mkdir(parents=True)
        zeros = " ".join(["0"] * 17)
        line = f"{pid} (a) S 99 (b) S {parent} {zeros} {pid} 0\n"
        (tmp_path / str(pid) / "stat").write_text(line)
    (tmp_path / "self").mkdir()
    (tmp_path / "meminfo").write_text("")
    return tmp_path


def test_a_family_without_lists_of_children(proc: Path) -> None:
    assert {process.pid for process in family([10], proc)} == {10, 11, 12, 13}
    assert {process.pid for process in family([20], proc)} == {20}


def test_siblings_of_a_fork_server_without_lists_of_children(proc: Path) -> None:
    assert {process.pid for process in engine_family([11], proc)} == {11, 12, 13}


def test_lists_of_children_go_before(proc: Path) -> None:
    (proc / "10" / "task" / "10" / "children").write_text("13 ")
    (proc / "10" / "task" / "14").mkdir()
    (proc / "10" / "task" / "14" / "children").write_text("11")
    assert Kinship(proc).children(10) == [13, 11]


def test_all_processes_are_read_once_a_look(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def counted(pid: int, folder: Path) -> int | None:
        read.append(pid)
        return parent_of(pid, folder)

    monkeypatch.setattr(kinship, "parent_of", counted)
    family([10, 20], proc)
    assert sorted(read) == sorted(PARENTS)


def test_nobody_has_no_children(proc: Path) -> None:
    (proc / "30").mkdir()  # ended between two looks
    assert Kinship(proc).children(30) == Kinship(proc).children(99) == []
    assert parent_of(30, proc) is None

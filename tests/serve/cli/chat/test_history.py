"""The file of typed lines: the owner's alone, bounded, and no reason to end a chat."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from serve.cli.chat import history as module
from serve.cli.chat.history import History
from serve.errors import StartupError


def test_lines_are_there_the_next_time(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    first = History(folder)
    first.append("one\ntwo ☃")
    first.append("\udce9")
    assert History(folder).lines == ["one\ntwo ☃", "\udce9"]
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    file = tmp_path / module.FILE
    file.write_text('"old"\nhalf of a ro\n7\n')
    file.chmod(0o644)
    assert History(tmp_path).lines == ["old"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_oldest_lines_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LINES", 3)
    written = History(tmp_path)
    for number in range(7):
        written.append(str(number))
    assert History(tmp_path).lines == ["4", "5", "6"]
    assert History(tmp_path).lines == ["4", "5", "6"]


def test_a_link_or_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / module.FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartupError, match=r"--history: .* cannot be used"):
        History(tmp_path)
    assert not (tmp_path / "elsewhere").exists()

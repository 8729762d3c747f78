"""A witness's memory: durable, of one process, and never of less than before."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from serve.errors import StartupError
from serve.governance.audit.witness.state import (
    HISTORY_EVERY_S,
    MAX_REFUSED,
    Held,
    WentBackError,
    WitnessState,
)

LOG = "example.org/audit"


def held(size: int, time_s: int = 0, root: bytes = b"r" * 32) -> Held:
    return Held(time_s=time_s, size=size, root=root)


def test_what_was_recorded_is_there_after_a_restart(tmp_path):
    with WitnessState(tmp_path) as state:
        assert state.checkpoint(LOG) is None
        state.record(LOG, b"note", held(3), before=None)
    with WitnessState(tmp_path) as state:
        assert state.checkpoint(LOG) == b"note"
        assert list(state.history(LOG)) == [held(3)]
        assert list(state.history("another")) == []


def test_a_state_is_one_process(tmp_path):
    with WitnessState(tmp_path), pytest.raises(StartupError, match="in use"):
        WitnessState(tmp_path)
    WitnessState(tmp_path).close()


def test_a_record_is_on_the_disk_when_it_returns(tmp_path, monkeypatch):
    """The file before it has its name, and the name before anybody is told."""
    done: list[str] = []
    replace = Path.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: done.append(kind_of(descriptor)))
    monkeypatch.setattr(Path, "replace", lambda *paths: (done.append("named"), replace(*paths))[1])
    with WitnessState(tmp_path) as state:
        state.record(LOG, b"note", held(3), before=None)
    assert done[-3:] == ["file", "named", "folder"]
    assert done[:-3] == ["folder", "file"]  # the log's folder, and its history


def kind_of(descriptor: int) -> str:
    return "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"


def test_less_than_before_is_never_written(tmp_path):
    with WitnessState(tmp_path) as state:
        state.record(LOG, b"note", held(3), before=None)
        for fewer in (held(2), held(3, root=b"x" * 32)):
            with pytest.raises(WentBackError):
                state.record(LOG, b"other", fewer, before=held(3))
        assert state.checkpoint(LOG) == b"note"


def test_history_has_one_tree_a_minute_and_drops_a_torn_line(tmp_path):
    with WitnessState(tmp_path) as state:
        state.record(LOG, b"1", held(1, 1000), before=None)
        state.record(LOG, b"2", held(2, 1001), before=held(1))
        later = held(9, 1000 + HISTORY_EVERY_S)
        path = state.folder_of(LOG) / "history"
        path.write_bytes(path.read_bytes() + b"1030 8 torn")
        state.record(LOG, b"3", later, before=held(2))
        assert list(state.history(LOG)) == [held(1, 1000), later]


def test_refused_checkpoints_are_kept_up_to_a_bound(tmp_path):
    with WitnessState(tmp_path) as state:
        for number in range(MAX_REFUSED + 5):
            state.keep_refused(LOG, number, b"note", 1000)
        assert len(list((state.folder_of(LOG) / "refused").iterdir())) == MAX_REFUSED

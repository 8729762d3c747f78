from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from models import staging
from models.errors import StoreBusyError
from models.staging import staged
from models.store import DirectoryStore
from tests.models.folders import whole


def fill(store: Path, name: str, text: str) -> None:
    with staged(store, name) as place:
        place.tree.rmdir()
        whole(place.tree)
        (place.tree / "README.md").write_text(text)
        place.commit()


def test_what_is_committed_is_a_model(tmp_path):
    store = tmp_path / "models"
    fill(store, "m", "one")
    assert (store / "m" / "README.md").read_text() == "one"
    assert DirectoryStore(tmp_path).names() == ["m"]
    assert staging.names(store) == []


def test_what_is_not_committed_is_no_model_and_stays_for_the_next(tmp_path):
    store = tmp_path / "models"
    with staged(store, "m") as place:
        (place.parts / "half").write_text("x")
    assert DirectoryStore(tmp_path).names() == []
    assert staging.names(store) == ["m"]
    with staged(store, "m") as place:
        assert (place.parts / "half").read_text() == "x"
        place.discard()
    assert staging.names(store) == []


@pytest.mark.parametrize("system", ["exchange", "no such call", "not on this file system"])
def test_a_model_is_replaced(tmp_path, monkeypatch, system):
    if system == "no such call":
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    elif system != "exchange":

        class Refusing:
            @staticmethod
            def renameat2(*_: object) -> int:
                ctypes.set_errno(22)
                return -1

        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Refusing)
    store = tmp_path / "models"
    fill(store, "m", "one")
    with (store / "m" / "README.md").open() as in_use:
        fill(store, "m", "two")
        assert in_use.read() == "one"
    assert (store / "m" / "README.md").read_text() == "two"
    assert staging.names(store) == []


def test_one_process_at_a_time(tmp_path):
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom models.staging import staged\n"
        "with staged(Path(sys.argv[1]), 'm'):\n    print('in', flush=True)\n    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        try:
            assert staging.is_held(tmp_path, "m")
            with pytest.raises(StoreBusyError, match="another process"), staged(tmp_path, "m"):
                pass
        finally:
            os.kill(other.pid, signal.SIGKILL)
        other.wait(timeout=30)
    assert not staging.is_held(tmp_path, "m")
    with staged(tmp_path, "m"):
        assert staging.is_held(tmp_path, "m")


def test_nothing_is_held_where_nothing_is(tmp_path):
    assert staging.names(tmp_path) == []
    assert not staging.is_held(tmp_path, "m")
    assert not (tmp_path / staging.STAGING).exists()

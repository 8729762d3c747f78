"""The reaper outlives its server, however that ends."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serve.engine.vllm import reaper
from serve.engine.vllm.processes import Process
from serve.engine.vllm.reaper import Reaper

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_the_reaper_outlives_its_server(tmp_path: Path, how: str) -> None:
    left = tmp_path / "left"
    left.touch()
    victim = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=-1)
    process = Process.of(victim.pid)
    assert process is not None
    if how == "closed":
        mine = Reaper()
        mine.add([process], [])
        mine.add([process], [left])
        mine.close()
        mine.close()
    else:
        server = (
            "import sys; from pathlib import Path\n"
            "from serve.engine.vllm.processes import Process\n"
            "from serve.engine.vllm.reaper import Reaper\n"
            f"victim = Process({victim.pid}, {process.started!r})\n"
            f"reaper = Reaper(); reaper.add([victim], [Path({str(left)!r})])\n"
            "print('up', flush=True); sys.stdin.read()"
        )
        owner = subprocess.Popen([sys.executable, "-c", server], stdin=-1, stdout=-1)
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        owner.kill()
        owner.communicate()
    assert victim.wait(20) == -signal.SIGKILL
    victim.communicate()
    patience_until = time.monotonic() + 20
    while left.exists() and time.monotonic() < patience_until:
        time.sleep(0.001)  # the reaper removes files last
    assert not left.exists()


def test_everything_that_was_announced_is_ended_when_the_pipe_closes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    killed: list[Process] = []
    file = tmp_path / "left"
    file.touch()
    entries = [
        {"processes": [[11, "100"], [12, "105"]], "files": []},
        {"processes": [[13, "200"]], "files": [str(file), str(tmp_path / "gone already")]},
    ]
    monkeypatch.setattr(reaper, "kill", killed.extend)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(map(json.dumps, entries))))
    reaper.main()
    assert killed == [Process(11, "100"), Process(12, "105"), Process(13, "200")]
    assert not file.exists()


def test_a_server_that_announced_nothing_leaves_nothing_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed: list[Process] = []
    monkeypatch.setattr(reaper, "kill", killed.extend)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    reaper.main()
    assert killed == []

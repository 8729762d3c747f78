"""The reaper outlives its server, however that ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

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
        reaper = Reaper()
        reaper.add([process], [])
        reaper.add([process], [left])
        reaper.close()
        reaper.close()
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
    while left.exists():  # the reaper removes files last
        pass

"""Families of processes are found, ended even when stopped, and their shared memory removed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from multiprocessing import forkserver
from pathlib import Path

import pytest

from serve.engine.vllm.processes import Process, engine_family, family, kill, remove, shared_memory

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")

PARENT = """
import subprocess, sys
from multiprocessing import resource_tracker, shared_memory
block = shared_memory.SharedMemory(create=True, size=4096)
resource_tracker.unregister(block._name, "shared_memory")
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"],
                         stdin=subprocess.PIPE)
print(block._name.strip("/"), child.pid, flush=True)
sys.stdin.read()
"""


def test_a_family_is_killed_and_tidied_up() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    name, child = parent.stdout.readline().split()
    try:
        processes = family([parent.pid])
        assert {process.pid for process in processes} >= {parent.pid, int(child)}
        files = shared_memory(processes)
        assert files == {Path("/dev/shm") / name}
        os.kill(int(child), signal.SIGSTOP)
    finally:
        kill(processes)
        parent.wait(20)
        parent.communicate()
    assert remove(files) == [Path("/dev/shm") / name]
    assert remove(files) == []
    kill(processes)  # nobody is there, or it is somebody else


def test_a_process_id_used_again_is_another_process(tmp_path: Path) -> None:
    folder = tmp_path / "7"
    folder.mkdir()
    line = "7 (a (b) c) {} " + " ".join(["0"] * 18) + " {} 0\n"
    (folder / "stat").write_text(line.format("S", 100))
    process = Process.of(7, tmp_path)
    assert process == Process(7, "100")
    assert process.is_alive(tmp_path)
    (folder / "stat").write_text(line.format("S", 200))
    assert not process.is_alive(tmp_path)
    (folder / "stat").write_text(line.format("Z", 100))
    assert Process.of(7, tmp_path) is None


def test_nobody_has_no_family() -> None:
    assert family([2**22 + 1]) == []


def test_a_semaphore_is_found_by_its_inode() -> None:
    # Mapped under the name that it had while it was made: its own name is in nobody's map.
    lock = multiprocessing.get_context("spawn").Lock()
    me = Process.of(os.getpid())
    assert me is not None
    name = lock._semlock.name.removeprefix("/")  # type: ignore[attr-defined]
    assert Path("/dev/shm") / f"sem.{name}" in shared_memory([me])


def test_siblings_from_a_fork_server_are_of_the_family() -> None:
    context = multiprocessing.get_context("forkserver")
    both = [context.Process(target=time.sleep, args=(60,), daemon=True) for _ in range(2)]
    for process in both:
        process.start()
    core, worker = (process.pid for process in both)
    try:
        assert core is not None
        processes = engine_family([core])
        assert {process.pid for process in processes} >= {core, worker}
        assert os.getpid() not in {process.pid for process in processes}
    finally:
        kill(processes)
    assert [process.join(20) or process.exitcode for process in both] == [-signal.SIGKILL] * 2
    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # vLLM's tests need one of their own


DESCENDANTS = """\
import subprocess, sys
from serve.engine.vllm.processes import end_descendants, family

grandchild = "import time; time.sleep(600)"
child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
process = subprocess.Popen([sys.executable, "-c", child])
waiting = "import sys; sys.stdin.read()  # vllm.reaper"
tidier = subprocess.Popen([sys.executable, "-c", waiting], stdin=subprocess.PIPE)
while len(family([process.pid])) < 2:
    pass
descendants = family([process.pid])
end_descendants(5.0)
print(sum(one.is_alive() for one in descendants), tidier.poll())
tidier.communicate()
"""


def test_a_start_that_is_broken_off_leaves_no_process_but_those_that_tidy_up() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", DESCENDANTS],
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.stdout.split() == ["0", "None"], ended.stderr

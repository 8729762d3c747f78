"""What is seen of loading weights from outside: the bytes of each file that were touched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from serve.engine.vllm.loading import LoadProgress, resident_bytes
from serve.engine.vllm.processes import Process

A, B = Path("/m/a.safetensors"), Path("/m/b.safetensors")
MAPPER = """
import mmap, sys
with open(sys.argv[1], "rb") as file:
    view = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
for line in sys.stdin:
    sum(view[: int(line)])
    print("read", flush=True)
"""


class Phases(list[tuple[str, int, int]]):
    def __call__(self, phase: str, done: int, total: int) -> None:
        self.append((phase, done, total))


@pytest.fixture
def phases() -> Phases:
    return Phases()


def test_files_are_read_one_after_the_other(phases: Phases) -> None:
    progress = LoadProgress({A: 100, B: 50}, phases)
    progress.look({})
    assert phases == []  # it imports
    progress.look({A: 10, Path("/m/other.safetensors"): 7})
    progress.look({A: 4})  # the kernel took pages back
    progress.look({A: 4096})
    progress.look({})
    progress.look({B: 20})
    assert phases == [("load_weights", done, 150) for done in (10, 10, 100, 100, 120)]
    progress.look({})
    assert phases[-2:] == [("load_weights", 150, 150), ("allocate_kv", 0, 1)]
    progress.look({A: 1})
    progress.finish()
    assert phases[-2:] == [("allocate_kv", 1, 1), ("warm_up", 1, 1)]
    assert len(phases) == 9


def test_what_was_too_quick_to_see_is_reported_in_order(phases: Phases) -> None:
    LoadProgress({A: 100}, phases).finish()
    assert phases == [("load_weights", 100, 100), ("allocate_kv", 1, 1), ("warm_up", 1, 1)]


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs /proc")
def test_touched_bytes_of_a_real_process(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    size = 8 << 20
    file.write_bytes(bytes(size))
    with subprocess.Popen(
        [sys.executable, "-c", MAPPER, str(file)], stdin=-1, stdout=-1, text=True
    ) as mapper:
        assert mapper.stdin is not None
        assert mapper.stdout is not None
        seen = []
        for part in (size // 4, size):
            mapper.stdin.write(f"{part}\n")
            mapper.stdin.flush()
            assert mapper.stdout.readline() == "read\n"
            process = Process.of(mapper.pid)
            assert process is not None
            seen.append(resident_bytes([process])[file])
        mapper.stdin.close()
    assert size // 4 <= seen[0] < size
    assert seen[1] == size
    assert resident_bytes([process]) == {}

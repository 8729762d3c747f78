from __future__ import annotations

from pathlib import Path

from serve.doctor import memory
from tests.serve.doctor.machines import machine


def test_little_memory_is_said_with_the_figure(tmp_path: Path) -> None:
    assert memory.memory(machine(tmp_path)).level == "ok"
    found = memory.memory(machine(tmp_path, free_kb=1_000_000))
    assert (found.level, found.summary) == ("warning", "1.0 GB of memory are free.")


def test_shared_memory_matters_for_several_devices_only(tmp_path: Path) -> None:
    assert memory.shared_memory(machine(tmp_path)).level == "skipped"
    several = machine(tmp_path, tensor_parallel_size=2, pipeline_parallel_size=2)
    missing = memory.shared_memory(several)
    assert missing.level == "failure"
    assert "4.3 GB" in missing.advice
    (tmp_path / "dev/shm").mkdir(parents=True)
    assert memory.shared_memory(several).level == "ok", "as large as the test's own disk"


def test_too_little_shared_memory_is_a_failure(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "dev/shm").mkdir(parents=True)
    monkeypatch.setattr(memory, "SHM_PER_DEVICE_BYTES", 1 << 60)
    found = memory.shared_memory(machine(tmp_path, tensor_parallel_size=2))
    assert found.level == "failure"
    assert "--shm-size" in found.advice

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from serve.doctor import gpu
from tests.serve.doctor.machines import machine, with_gpu, write


def test_a_machine_without_a_gpu_is_fine_unless_one_is_asked_for(tmp_path: Path) -> None:
    assert gpu.driver(machine(tmp_path)).level == "skipped"
    assert gpu.cuda(machine(tmp_path)).level == "skipped"
    found = gpu.driver(machine(tmp_path, device="cuda"))
    assert found.level == "failure"
    assert "--device cpu" in found.advice


def test_a_gpu_with_its_driver_is_named(tmp_path: Path) -> None:
    found = gpu.driver(with_gpu(tmp_path))
    assert (found.level, found.summary) == ("ok", "Driver 580.65.06, 1 GPUs: NVIDIA H100.")
    assert gpu.cuda(with_gpu(tmp_path)).level == "ok"


@pytest.mark.parametrize("device", ["auto", "cuda"])
@pytest.mark.parametrize(
    ("missing", "advice"),
    [
        ("proc/driver/nvidia/version", "modprobe nvidia"),
        ("dev/nvidia0", "container toolkit"),
        ("smi", "NVIDIA_DRIVER_CAPABILITIES"),
    ],
)
def test_each_part_that_is_missing_has_its_advice(
    tmp_path: Path, missing: str, advice: str, device: str
) -> None:
    asked = with_gpu(tmp_path, device=device)
    (tmp_path / missing).unlink()
    found = gpu.driver(asked)
    assert found.level == ("failure" if device == "cuda" else "warning")
    assert advice in found.advice


@pytest.mark.parametrize("script", ["exit 9", "echo '<a>'", "echo '<a><gpu/></a>'"])
def test_a_driver_that_talks_nonsense_is_said(tmp_path: Path, script: str) -> None:
    asked = with_gpu(tmp_path)
    write(tmp_path, "smi", f"#!/bin/sh\n{script}\n")
    assert "nvidia-smi" in gpu.driver(asked).advice


def test_more_devices_than_there_are_is_a_failure(tmp_path: Path) -> None:
    found = gpu.driver(with_gpu(tmp_path, tensor_parallel_size=2))
    assert found.level == "failure"
    assert "ask for 2 GPUs, and there are 1" in found.summary


@pytest.mark.parametrize(
    ("torch", "runtime", "driver", "level"),
    [
        ("2.13.0+cu130", None, "13.1", "ok"),
        ("2.13.0+cu126", None, "13.0", "ok"),
        ("2.13.0+cu130", None, "12.8", "failure"),
        ("2.13.0", "13.0.48", "12.8", "failure"),
        ("2.13.0", "12.8.90", "12.8", "ok"),
        ("2.13.0+cpu", None, "13.0", "warning"),
        ("2.13.0", None, "13.0", "warning"),
        (None, None, "13.0", "failure"),
        ("2.13.0+cu130", None, "", "warning"),
    ],
)
def test_torch_and_driver_have_to_go_together(
    tmp_path: Path, torch: str | None, runtime: str | None, driver: str, level: str
) -> None:
    asked = with_gpu(tmp_path, cuda=driver)
    found = gpu.cuda(replace(asked, torch_version=torch, runtime_version=runtime))
    assert found.level == level, found
    assert bool(found.advice) == (level != "ok")

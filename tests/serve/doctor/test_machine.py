"""A machine as the checks see it: its card, its driver, and whether a server would use them."""

from __future__ import annotations

import dataclasses
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from serve.config import Config
from serve.doctor import machine as module
from serve.doctor.machine import this_machine
from tests.serve.doctor.machines import machine, with_gpu, write


@pytest.mark.parametrize(
    ("vendor", "kind", "is_card"),
    [
        ("0x10de\n", "0x030200\n", True),
        ("0x10de", "0x030000", True),
        ("0x10de\n", "0x040300\n", False),  # the audio of a card
        ("0x1002\n", "0x030000\n", False),  # AMD's
        ("", "0x030000\n", False),
    ],
)
def test_a_card_is_a_display_of_nvidias(
    tmp_path: Path, vendor: str, kind: str, is_card: bool
) -> None:
    assert not machine(tmp_path).has_gpu_card
    write(tmp_path, "sys/bus/pci/devices/0000:01:00.0/vendor", vendor)
    write(tmp_path, "sys/bus/pci/devices/0000:01:00.0/class", kind)
    assert machine(tmp_path).has_gpu_card is is_card


def test_a_container_without_devices_sees_no_gpu(tmp_path: Path) -> None:
    write(tmp_path, "proc/driver/nvidia/version", "NVRM")
    write(tmp_path, "dev/nvidiactl")
    write(tmp_path, "dev/nvidia-uvm")
    assert machine(tmp_path).has_driver
    assert not machine(tmp_path).has_gpu_nodes
    write(tmp_path, "dev/nvidia7")
    assert machine(tmp_path).has_gpu_nodes


@pytest.mark.parametrize(
    ("settings", "uses", "needs"),
    [
        ({}, True, False),
        ({"device": "cuda"}, True, True),
        ({"device": "cpu"}, False, False),
        ({"engine": "fake"}, False, False),
    ],
)
def test_whether_a_gpu_is_used_and_needed_follows_from_the_settings(
    tmp_path: Path, settings: dict[str, Any], uses: bool, needs: bool
) -> None:
    on = with_gpu(tmp_path, **settings)
    assert (on.uses_gpu, on.needs_gpu) == (uses, needs)
    (tmp_path / "dev/nvidia0").unlink()
    assert not with_gpu(tmp_path / "other", device="cpu").uses_gpu
    assert not machine(tmp_path, **settings).uses_gpu


def test_devices_are_a_product(tmp_path: Path) -> None:
    assert machine(tmp_path).num_devices == 1
    two_by_four = machine(tmp_path, tensor_parallel_size=2, pipeline_parallel_size=4)
    assert two_by_four.num_devices == 8


def test_the_driver_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(smi: str) -> None:
        asked.append(smi)

    monkeypatch.setattr(module, "ask_driver", ask)
    assert machine(tmp_path).driver is None
    assert asked == [], "there is no command to ask with"
    on = with_gpu(tmp_path)
    assert [on.driver, on.driver] == [None, None]
    assert asked == [on.smi]


def test_this_machine_is_the_one_below_us(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "2.13.0", "nvidia-cuda-runtime-cu12": "12.8.90"}

    def version(package: str) -> str:
        if package not in versions:
            raise metadata.PackageNotFoundError(package)
        return versions[package]

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(module.shutil, "which", lambda name: f"/bin/{name}")
    here = this_machine(Config(), probe="192.0.2.1:443", progress=lambda *_: None)
    assert (here.root, here.smi, here.probe) == (Path("/"), "/bin/nvidia-smi", "192.0.2.1:443")
    assert (here.torch_version, here.runtime_version) == ("2.13.0", "12.8.90")
    versions |= {"nvidia-cuda-runtime": "13.0.48"}
    newer = this_machine(Config(), probe=None, progress=lambda *_: None)
    assert newer.runtime_version == "13.0.48", "the newer package's name goes first"
    assert dataclasses.replace(newer, torch_version=None).torch_version is None

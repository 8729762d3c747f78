"""What `nvidia-smi` prints, read: a driver and its GPUs, or nothing that could mislead."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from models.memory import nvidia
from models.memory.nvidia import Gpu, ask_driver

GPU = (
    "<gpu><product_name>{name}</product_name><fb_memory_usage>"
    "<total>{total}</total><reserved>1 MiB</reserved><free>{free}</free></fb_memory_usage></gpu>"
)
LOG = "<nvidia_smi_log><driver_version>580.1</driver_version>{}</nvidia_smi_log>"


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Have the command print this and end with this code."""

    def put(stdout: str, code: int = 0) -> None:
        def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
            assert command == ["/bin/smi", "-q", "-x"]
            assert options["timeout"] == nvidia.TIMEOUT_S
            return subprocess.CompletedProcess(command, code, stdout, "")

        monkeypatch.setattr(nvidia.subprocess, "run", run)

    return put


def test_each_gpu_has_its_own_memory_in_bytes(answer: Callable[[str], None]) -> None:
    first = GPU.format(name="NVIDIA H100", total="81559 MiB", free="0 MiB")
    second = GPU.format(name="NVIDIA L4", total="23034 MiB", free="22000 MiB")
    answer(LOG.format(f"<cuda_version>13.0</cuda_version>{first}{second}"))
    driver = ask_driver("/bin/smi")
    assert driver is not None
    assert (driver.version, driver.cuda) == ("580.1", "13.0")
    assert driver.gpus == (
        Gpu(name="NVIDIA H100", total_bytes=81559 << 20, free_bytes=0),
        Gpu(name="NVIDIA L4", total_bytes=23034 << 20, free_bytes=22000 << 20),
    )


def test_a_driver_without_gpus_is_a_driver(answer: Callable[[str], None]) -> None:
    answer(LOG.format(""))
    driver = ask_driver("/bin/smi")
    assert driver is not None
    assert (driver.cuda, driver.gpus) == ("", ())


@pytest.mark.parametrize(
    "stdout",
    [
        "",
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
        "<nvidia_smi_log>",
        LOG.format("<gpu><product_name>NVIDIA H100</product_name></gpu>"),
        LOG.format(GPU.format(name="GH200", total="N/A", free="N/A")),
        LOG.format(GPU.format(name="odd", total="80 GiB", free="1 MiB")),
    ],
)
def test_what_is_not_understood_is_no_driver(answer: Callable[[str], None], stdout: str) -> None:
    answer(stdout)
    assert ask_driver("/bin/smi") is None


def test_a_command_that_fails_or_hangs_or_is_missing_is_no_driver(
    answer: Callable[[str, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(LOG.format(""), 9)
    assert ask_driver("/bin/smi") is None
    monkeypatch.undo()
    assert ask_driver("/no/such/command") is None

    def hangs(command: list[str], **options: Any) -> None:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(nvidia.subprocess, "run", hangs)
    assert ask_driver("/bin/smi") is None

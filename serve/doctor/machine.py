"""This machine and the settings that a server on it would have."""

from __future__ import annotations

import functools
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from models.memory import host_memory
from models.memory.nvidia import Driver, ask_driver
from serve.config import Config
from serve.engine.protocol import Progress


def _silent(phase: str, done: int, total: int) -> None:
    """A progress that is shown nowhere."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine, as its checks see it.

    Attributes:
        root: where ``proc``, ``sys`` and ``dev`` are; tests give a folder of their own.
        smi: NVIDIA's command, where there is one.
        torch_version: of the installed torch; None without.
        runtime_version: of NVIDIA's CUDA runtime, where it is installed as a package.
        probe: ``ADDRESS:PORT`` to try a connection to; None tries none.
        progress: called with bytes while files are hashed.
    """

    config: Config
    root: Path = Path("/")
    smi: str | None = None
    torch_version: str | None = None
    runtime_version: str | None = None
    probe: str | None = None
    progress: Progress = _silent

    @functools.cached_property
    def driver(self) -> Driver | None:
        """The answer of NVIDIA's driver about itself; None where it does not answer."""
        return None if self.smi is None else ask_driver(self.smi)

    @property
    def has_gpu_card(self) -> bool:
        """Whether there is a card of NVIDIA's, with or without a driver."""
        return any(
            host_memory.read_text(device / "vendor").strip() == "0x10de"
            and host_memory.read_text(device / "class").startswith("0x03")  # display, 3D
            for device in (self.root / "sys/bus/pci/devices").glob("*")
        )

    @property
    def has_driver(self) -> bool:
        return (self.root / "proc/driver/nvidia/version").exists()

    @property
    def has_gpu_nodes(self) -> bool:
        """Whether this process may see a GPU: a container may not."""
        return any((self.root / "dev").glob("nvidia[0-9]*"))

    @property
    def needs_gpu(self) -> bool:
        return self.config.device == "cuda"

    @property
    def uses_gpu(self) -> bool:
        return self.has_gpu_nodes and self.config.device != "cpu" and self.config.engine != "fake"

    @property
    def num_devices(self) -> int:
        return self.config.tensor_parallel_size * self.config.pipeline_parallel_size


def this_machine(config: Config, *, probe: str | None, progress: Progress) -> Machine:
    """The machine that this process runs on."""
    return Machine(
        config=config,
        smi=shutil.which("nvidia-smi"),
        torch_version=_version("torch"),
        runtime_version=_version("nvidia-cuda-runtime") or _version("nvidia-cuda-runtime-cu12"),
        probe=probe,
        progress=progress,
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None

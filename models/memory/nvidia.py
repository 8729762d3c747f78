"""NVIDIA's driver and its GPUs, as its own command reports them.

``nvidia-smi -q -x`` because it comes with the driver and into every GPU container, and because its
names have stayed the same for a decade.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from xml.etree import ElementTree as ET

TIMEOUT_S = 20.0
_MIB = re.compile(r"(\d+) MiB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    name: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """A loaded driver.

    Attributes:
        cuda: the newest CUDA version that it runs, such as 13.0.
    """

    version: str
    cuda: str
    gpus: tuple[Gpu, ...]


def ask_driver(smi: str) -> Driver | None:
    """Run the command; None where it fails, takes longer than 20 s or prints something else."""
    command = [smi, "-q", "-x"]
    try:
        answer = subprocess.run(  # noqa: S603 - the driver's command with fixed arguments
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        if answer.returncode != 0:
            return None
        log = ET.fromstring(answer.stdout)  # noqa: S314 - from the driver
        return Driver(
            version=log.findtext("driver_version", ""),
            cuda=log.findtext("cuda_version", ""),
            gpus=tuple(_gpu(element) for element in log.findall("gpu")),
        )
    except (OSError, subprocess.TimeoutExpired, ET.ParseError, ValueError):
        return None


def _gpu(element: ET.Element) -> Gpu:
    memory = element.find("fb_memory_usage")
    return Gpu(
        name=element.findtext("product_name", "GPU"),
        total_bytes=_bytes(memory, "total"),
        free_bytes=_bytes(memory, "free"),
    )


def _bytes(memory: ET.Element | None, name: str) -> int:
    match = _MIB.fullmatch(memory.findtext(name, "")) if memory is not None else None
    if match is None:
        raise ValueError(f"fb_memory_usage has no {name}")
    return int(match[1]) << 20

"""The memory that a model would have on this machine: a GPU's, or else what is free.

Asked without torch, which takes seconds to import. A GPU of another make than NVIDIA's is not seen.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from models.memory import host_memory, nvidia
from models.memory.fit import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A memory, and the device that computes in it.

    Attributes:
        num_bytes: of one GPU, all of it; or what is free for a CPU.
    """

    place: Place
    num_bytes: int

    def __str__(self) -> str:
        where = "of one GPU" if self.place is Place.GPU else "of memory that is free"
        return f"{self.num_bytes / 1e9:.1f} GB {where}"


def room() -> Room | None:
    """The memory for a model here; None where it is not known.

    Of several GPUs the smallest counts, as it does for one that shares each layer.
    """
    command = shutil.which("nvidia-smi")
    driver = None if command is None else nvidia.ask_driver(command)
    if driver is not None and driver.gpus:
        return Room(place=Place.GPU, num_bytes=min(gpu.total_bytes for gpu in driver.gpus))
    free = host_memory.available_bytes()
    return None if free is None else Room(place=Place.CPU, num_bytes=free)

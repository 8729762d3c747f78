"""Memory of the machine: what is free, and what processes share."""

from __future__ import annotations

import os

from models.memory import host_memory
from serve.doctor.finding import Finding, failure, ok, skipped, warning
from serve.doctor.machine import Machine

LEAST_BYTES = 2 << 30
"""Free memory below which the kernel may kill a server of any model."""
SHM_PER_DEVICE_BYTES = 1 << 30
"""Size of /dev/shm that each device needs: vLLM's processes and NCCL pass tensors through it.
Containers get 64 MiB unless they ask for more."""


def memory(machine: Machine) -> Finding:
    """The memory that is free, as this process's cgroups allow it."""
    free = host_memory.available_bytes(machine.root)
    if free is None:
        return skipped("How much memory is free is not known here.")
    summary = f"{gb(free)} of memory are free."
    if free < LEAST_BYTES:
        return warning(summary, "Stop what else runs here, or raise the container's memory limit.")
    return ok(summary)


def shared_memory(machine: Machine) -> Finding:
    """Is /dev/shm large enough for several devices?"""
    if machine.num_devices == 1:
        return skipped("One device needs no shared memory.")
    need = SHM_PER_DEVICE_BYTES * machine.num_devices
    advice = (
        f"Give it {gb(need)}: `--shm-size` of a container, in Kubernetes an emptyDir with "
        "`medium: Memory` at /dev/shm."
    )
    try:
        file_system = os.statvfs(machine.root / "dev/shm")
    except OSError as error:
        return failure(f"Shared memory, /dev/shm, cannot be used: {error.strerror}.", advice)
    free = file_system.f_bavail * file_system.f_frsize
    summary = f"Shared memory has {gb(free)} free, for {machine.num_devices} devices."
    return ok(summary) if free >= need else failure(summary, advice)


def gb(num_bytes: float) -> str:
    """Bytes for people: ``1.5 GB``, ``120 MB``."""
    return f"{num_bytes / 1e9:,.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:,.0f} MB"

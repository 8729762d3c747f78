"""Memory of the machine: what is free, and what processes share."""

from __future__ import annotations

import os

from models.memory import host_memory
from serve.doctor.finding import Finding, failure, ok, skipped, warning
from serve.doctor.machine import Machine

LEAST_BYTES = 2 << 30
"""Of free memory, below which a server with any model is at the mercy of the OOM killer."""
SHM_PER_DEVICE_BYTES = 1 << 30
"""Of /dev/shm: vLLM's processes and NCCL pass tensors through it. Containers get 64 MiB unless
they ask for more."""


def memory(machine: Machine) -> Finding:
    """How much memory is free, as this process's cgroups allow it."""
    free = host_memory.available_bytes(machine.root)
    if free is None:
        return skipped("How much memory is free is not known here.")
    told = f"{gb(free)} of memory are free."
    if free < LEAST_BYTES:
        return warning(told, "Stop what else runs here, or raise the container's memory limit.")
    return ok(told)


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
        found = os.statvfs(machine.root / "dev/shm")
    except OSError as error:
        return failure(f"Shared memory, /dev/shm, cannot be used: {error.strerror}.", advice)
    free = found.f_bavail * found.f_frsize
    told = f"Shared memory has {gb(free)} free, for {machine.num_devices} devices."
    return ok(told) if free >= need else failure(told, advice)


def gb(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:,.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:,.0f} MB"

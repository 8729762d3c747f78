"""GPUs: the card, its driver, and whether torch's CUDA and the driver's go together."""

from __future__ import annotations

import re

from serve.doctor.finding import Finding, failure, ok, skipped, warning
from serve.doctor.machine import Machine


def driver(machine: Machine) -> Finding:
    """Is there a GPU that this process can use?"""
    level = failure if machine.needs_gpu else warning
    if not (machine.has_gpu_card or machine.has_driver or machine.has_gpu_nodes):
        if machine.needs_gpu:
            return failure(
                "--device cuda, and there is no NVIDIA GPU here.",
                "Run it where there is one, or take --device cpu.",
            )
        return skipped("There is no NVIDIA GPU: models run on the CPU.")
    if not machine.has_driver:
        return level(
            "There is an NVIDIA GPU, and its driver is not loaded.",
            "Install the driver (data-centre branch), then `modprobe nvidia`.",
        )
    if not machine.has_gpu_nodes:
        return level(
            "The driver is loaded, and there is no /dev/nvidia0 here: this container has no GPU.",
            "Give it one: the runtime of NVIDIA's container toolkit, and `nvidia.com/gpu: 1` in "
            "Kubernetes.",
        )
    if machine.driver is None or not machine.driver.gpus:
        return level(
            "nvidia-smi is not there, or it names no GPU.",
            "See what `nvidia-smi` says. In a container set NVIDIA_DRIVER_CAPABILITIES="
            "compute,utility.",
        )
    gpus = machine.driver.gpus
    names = ", ".join(gpu.name for gpu in gpus)
    if machine.num_devices > len(gpus):
        return failure(
            f"The settings ask for {machine.num_devices} GPUs, and there are {len(gpus)} "
            f"({names}).",
            "Lower --tensor-parallel-size or --pipeline-parallel-size.",
        )
    return ok(f"Driver {machine.driver.version}, {len(gpus)} GPUs: {names}.")


def cuda(machine: Machine) -> Finding:
    """Does the installed torch run on this driver?"""
    if machine.driver is None or not machine.has_gpu_nodes:
        return skipped("There is no GPU to use.")
    if machine.torch_version is None:
        return failure("torch is not installed.", "Install requirements/gpu.lock.")
    wanted = _cuda_of(machine.torch_version, machine.runtime_version)
    if wanted is None:
        level = failure if machine.needs_gpu else warning
        return level(
            f"torch {machine.torch_version} is built for CPUs: the GPU would stay idle.",
            "Install requirements/gpu.lock.",
        )
    offered = _major(machine.driver.cuda)
    if offered is None:
        return warning(
            f"The driver does not say which CUDA it runs; torch needs {wanted}.",
            "See the first lines of `nvidia-smi`.",
        )
    if offered < wanted:
        return failure(
            f"torch is built for CUDA {wanted}, and driver {machine.driver.version} runs CUDA "
            f"{machine.driver.cuda} at most.",
            f"Update the driver to one for CUDA {wanted}.",
        )
    return ok(f"torch is built for CUDA {wanted}; the driver runs {machine.driver.cuda}.")


def _cuda_of(torch_version: str, runtime_version: str | None) -> int | None:
    """Major version of CUDA that torch was built for; None for a build without.

    Its version has it (``2.13.0+cu130``), or the CUDA runtime that was installed with it.
    """
    match = re.search(r"\+cu(\d+)\d$", torch_version)
    if match is not None:
        return int(match[1])
    return None if "+" in torch_version else _major(runtime_version or "")


def _major(version: str) -> int | None:
    head = version.partition(".")[0]
    return int(head) if head.isdigit() else None

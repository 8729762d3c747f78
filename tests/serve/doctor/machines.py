"""Machines for the checks: a folder as its root, and a stand-in for NVIDIA's command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from serve.config import Config
from serve.doctor.machine import Machine

MEMINFO = "MemTotal: 64000000 kB\nMemAvailable: {} kB\n"
XML = """<?xml version="1.0" ?>
<nvidia_smi_log>
  <driver_version>580.65.06</driver_version><cuda_version>{cuda}</cuda_version>
  <gpu id="0"><product_name>NVIDIA H100</product_name>
    <fb_memory_usage><total>{mib} MiB</total><free>{mib} MiB</free></fb_memory_usage></gpu>
</nvidia_smi_log>"""


def write(root: Path, name: str, text: str = "") -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def machine(root: Path, *, free_kb: int = 32_000_000, **settings: Any) -> Machine:
    """One without a GPU."""
    own = {name: settings.pop(name) for name in list(settings) if name not in Config.model_fields}
    write(root, "proc/meminfo", MEMINFO.format(free_kb))
    settings.setdefault("data_dir", root / "data")
    return Machine(config=Config(**settings), root=root, **own)


def with_gpu(root: Path, *, cuda: str = "13.0", mib: int = 81_559, **settings: Any) -> Machine:
    """One with a GPU. Its ``nvidia-smi`` is a script: the real one needs the real driver."""
    for slot, kind in (("0", "0x030200"), ("1", "0x040300")):  # its audio is a device, too
        write(root, f"sys/bus/pci/devices/0000:01:00.{slot}/vendor", "0x10de\n")
        write(root, f"sys/bus/pci/devices/0000:01:00.{slot}/class", f"{kind}\n")
    write(root, "proc/driver/nvidia/version", "NVRM version: 580.65.06\n")
    write(root, "dev/nvidia0")
    write(root, "smi", f"#!/bin/sh\ncat <<'END'\n{XML.format(cuda=cuda, mib=mib)}\nEND\n")
    (root / "smi").chmod(0o755)
    settings.setdefault("torch_version", "2.13.0+cu130")
    return machine(root, smi=str(root / "smi"), **settings)

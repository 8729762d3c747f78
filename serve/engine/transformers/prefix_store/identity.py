"""The identity of saved keys and values: a digest of all that their bits hang on.

::

    the model's files (their manifest's digest), the type that they are computed in
    shapes and size of a block, type of the cache
    our code: every source of serve/engine, quantize and models
    Python, torch, transformers, Numba, LLVM; what the environment tells these libraries
    the device; the processor and what it can do; the number of threads

What has another identity is never read. That costs a cold start after an upgrade, and saves asking
which change of which file moves a rounding.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import platform
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch

import models
import quantize
import serve.engine
from serve.engine.transformers.kernels import processor
from serve.engine.transformers.kv_cache import BLOCK_SIZE, KVCache
from serve.environment import operator_environment

_LIBRARIES = ("torch", "transformers", "numba", "llvmlite")
_VARIABLES = ("NUMBA_", "ATEN_", "ONEDNN_", "DNNL_", "MKL_", "TORCH_", "CUBLAS_", "NVIDIA_TF32_")
"""Beginnings of the names of variables that choose other kernels."""


def identity_of(model_digest: str, dtype: str, cache: KVCache, device: torch.device) -> bytes:
    """The identity; 32 bytes.

    Args:
        model_digest: of the model's files, as their manifest has it.
        dtype: of weights and arithmetic, in words.
        cache: of which blocks are saved.
        device: that computes them.
    """
    return _digest(
        (
            *("model", model_digest, dtype),
            *("cache", str(BLOCK_SIZE), *_layers(cache)),
            *("code", code_digest()),
            *("libraries", platform.python_version(), *_versions(), *_told(operator_environment())),
            *("device", *_machine(device)),
        )
    )


@functools.cache
def code_digest() -> str:
    """The digest of our sources, in hexadecimal digits."""
    return _digest(
        f"{folder.name}/{path.relative_to(folder).as_posix()}\n{path.read_text('utf-8')}"
        for folder in (Path(package.__path__[0]) for package in (serve.engine, quantize, models))
        for path in sorted(folder.rglob("*.py"))
    ).hex()


def _layers(cache: KVCache) -> Iterator[str]:
    for layer, shape in cache.shapes.items():
        for pool in (cache.keys[layer], cache.values[layer]):
            yield f"{layer} {tuple(pool.shape[1:])} {pool.dtype} {shape.sliding_window}"


def _versions() -> Iterator[str]:
    return (f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)


def _told(environment: Mapping[str, str]) -> list[str]:
    return [
        f"{name}={environment[name]}" for name in sorted(environment) if name.startswith(_VARIABLES)
    ]


def _machine(device: torch.device) -> tuple[str, ...]:
    computing = (platform.machine(), *processor.identity(), f"{torch.get_num_threads()} threads")
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return (*computing, "cuda", torch.cuda.get_device_name(device), f"{major}.{minor}")
    return (*computing, device.type, torch.backends.cpu.get_cpu_capability())


def _digest(parts: Iterable[str]) -> bytes:
    """SHA-256 of texts, none of which reads as a part of another."""
    whole = hashlib.sha256()
    for part in parts:
        raw = part.encode()
        whole.update(b"%d:" % len(raw) + raw)
    return whole.digest()

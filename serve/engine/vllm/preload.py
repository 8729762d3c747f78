"""Imports for the fork server of ``vllm/fork.py``, before it forks; nobody else imports this first.

An OpenMP library binds the process to the worker's CPUs when it is loaded, often to one that is
busy. The imports, and the core after them, run where the server may; the worker binds itself again.
"""

from __future__ import annotations

import contextlib
import importlib
import os

_SERVER_CPUS = os.sched_getaffinity(os.getppid())
_MODULES = (
    # These bring an OpenMP library each.
    "torch",
    "sentencepiece",
    # And this is what takes the time.
    "vllm.v1.engine.core",
    "vllm.v1.executor.multiproc_executor",
    "vllm.v1.worker.cpu_worker",
    "serve.engine.vllm.fork",
    "serve.engine.vllm.grammar_backend",
    "serve.engine.vllm.grammar_mask",
)

WORKER_CPUS = os.sched_getaffinity(0)
for _module in _MODULES:
    os.sched_setaffinity(0, _SERVER_CPUS)
    with contextlib.suppress(ImportError):
        importlib.import_module(_module)
    if os.sched_getaffinity(0) != _SERVER_CPUS:
        WORKER_CPUS = os.sched_getaffinity(0)
os.sched_setaffinity(0, _SERVER_CPUS)

"""Modules that stand in for llama-cpp-python and gguf, which only other interpreters have."""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

VOCAB = 11


class LlamaCpp(ModuleType):
    """A library whose model says that token ``(last + position) % VOCAB`` follows.

    Attributes:
        steps: of each forward: (token, position, sequence, whether its logits are wanted).
        fails: every forward fails.
    """

    __version__ = "0"
    LLAMA_FTYPE_MOSTLY_Q4_K_M = 15

    def __init__(self) -> None:
        super().__init__("llama_cpp")
        self.steps: list[list[tuple[int, int, int, bool]]] = []
        self.settings: Any = None
        self.fails = False
        self.quantised: list[tuple[str, int]] = []
        self._logits = np.zeros((0, VOCAB), np.float32)

    def llama_backend_init(self) -> None: ...

    def llama_model_default_params(self) -> SimpleNamespace:
        return SimpleNamespace()

    llama_context_default_params = llama_model_default_params
    llama_model_quantize_default_params = llama_model_default_params

    def llama_model_load_from_file(self, path: bytes, _: object) -> str | None:
        return None if b"broken" in path else path.decode()

    def llama_init_from_model(self, model: str | None, settings: Any) -> object | None:
        self.settings = settings
        return SimpleNamespace(model=model) if model else None

    def llama_model_get_vocab(self, model: str) -> str:
        return model

    def llama_vocab_n_tokens(self, _: str) -> int:
        return VOCAB

    def llama_batch_init(self, size: int, _: int, __: int) -> SimpleNamespace:
        return SimpleNamespace(
            n_tokens=0,
            token=[0] * size,
            pos=[0] * size,
            n_seq_id=[0] * size,
            seq_id=[[-1] for _ in range(size)],
            logits=[False] * size,
        )

    def llama_get_memory(self, context: object) -> object:
        return context

    def llama_memory_clear(self, _: object, __: bool) -> None:
        self.steps.append([])

    def llama_decode(self, _: object, batch: SimpleNamespace) -> int:
        rows = range(batch.n_tokens)
        self.steps.append(
            [(batch.token[r], batch.pos[r], batch.seq_id[r][0], batch.logits[r]) for r in rows]
        )
        following = [(batch.token[row] + batch.pos[row]) % VOCAB for row in rows]
        self._logits = np.ascontiguousarray(np.eye(VOCAB, dtype=np.float32)[following])
        return int(self.fails)

    def llama_get_logits(self, _: object) -> Any:
        return self._logits.ctypes.data_as(ctypes.POINTER(ctypes.c_float))

    def llama_get_logits_ith(self, _: object, row: int) -> Any:
        return self._logits[row].ctypes.data_as(ctypes.POINTER(ctypes.c_float))

    def llama_model_quantize(self, base: bytes, out: bytes, _: object) -> int:
        Path(out.decode()).write_bytes(b"half")
        return int(b"broken" in base)


@contextmanager
def program(name: str, **modules: ModuleType) -> Iterator[ModuleType]:
    """One of the programs for other interpreters, imported with these modules in place."""
    full = f"benchmarks.compare.llama.{name}"
    before = {key: sys.modules.get(key) for key in (*modules, full)}
    sys.modules.update(modules)
    sys.modules.pop(full, None)
    try:
        yield importlib.import_module(full)
    finally:
        for key, module in before.items():
            if module is None:
                sys.modules.pop(key, None)
            else:
                sys.modules[key] = module

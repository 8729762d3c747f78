"""llama.cpp's files against its own full one, token by token, for an interpreter with
llama-cpp-python.

    python quality_worker.py THREADS BASE.gguf QUANTISED.gguf ...

Reads one JSON line, ``{"sequences": [{"given": [ids], "scored": [ids]}, ...]}``, and writes one for
each quantised file: ``base_nll``, ``quantised_nll``, ``kl`` and ``same_top``, each a list with one
entry per scored token, in order. All files are loaded at once; distributions live for 64 tokens.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import llama_cpp
import numpy as np

_BATCH, _TOGETHER = 512, 64


class Model:
    """One file and one sequence of it."""

    def __init__(self, path: str, length: int, threads: int) -> None:
        model = llama_cpp.llama_model_load_from_file(
            path.encode(), llama_cpp.llama_model_default_params()
        )
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = -(-length // 256) * 256
        settings.n_batch = settings.n_ubatch = _BATCH
        settings.n_threads = settings.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(model, settings) if model else None
        if not self._context:
            raise SystemExit(f"llama.cpp cannot run {path}")
        self._num_words = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        self._batch = llama_cpp.llama_batch_init(_BATCH, 0, 1)
        self._place = 0

    def begin(self, tokens: Sequence[int]) -> None:
        """A new sequence that begins so; nothing of it is asked for."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
        self._place = 0
        for start in range(0, len(tokens), _BATCH):
            self._feed(tokens[start : start + _BATCH], wants_logits=False)

    def logits(self, tokens: Sequence[int]) -> Any:
        """float32 ``[N, V]`` after each of at most 64 further tokens; the next call's memory."""
        self._feed(tokens, wants_logits=True)
        logits = llama_cpp.llama_get_logits(self._context)
        return np.ctypeslib.as_array(logits, (len(tokens), self._num_words))

    def _feed(self, tokens: Sequence[int], *, wants_logits: bool) -> None:
        batch = self._batch
        batch.n_tokens = len(tokens)
        for row, token in enumerate(tokens):
            batch.token[row], batch.pos[row] = token, self._place + row
            batch.n_seq_id[row], batch.seq_id[row][0] = 1, 0
            batch.logits[row] = wants_logits
        self._place += len(tokens)
        if llama_cpp.llama_decode(self._context, batch):
            raise SystemExit("llama_decode failed")


def compare(base: Any, quantised: Any, following: Sequence[int]) -> dict[str, list[Any]]:
    """Compare as benchmarks/quality/formulas.py does, in float64."""
    p, q = _log_softmax(base), _log_softmax(quantised)
    rows = np.arange(len(following))
    return {
        "base_nll": (-p[rows, following]).tolist(),
        "quantised_nll": (-q[rows, following]).tolist(),
        "kl": np.maximum((np.exp(p) * (p - q)).sum(-1), 0).tolist(),
        "same_top": (base.argmax(-1) == quantised.argmax(-1)).tolist(),
    }


def _log_softmax(logits: Any) -> Any:
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def main(arguments: Sequence[str]) -> None:
    """Answer the one line."""
    sequences = json.loads(sys.stdin.readline())["sequences"]
    longest = max(len(sequence["given"]) + len(sequence["scored"]) for sequence in sequences)
    llama_cpp.llama_backend_init()
    base, *quantised = (Model(path, longest, int(arguments[0])) for path in arguments[1:])
    results: list[dict[str, list[Any]]] = [{} for _ in quantised]
    for sequence in sequences:
        given, scored = sequence["given"], sequence["scored"]
        for model in (base, *quantised):
            model.begin(given[:-1])
        fed = [given[-1], *scored[:-1]]
        for start in range(0, len(fed), _TOGETHER):
            tokens, following = (part[start : start + _TOGETHER] for part in (fed, scored))
            reference = base.logits(tokens)
            for model, columns in zip(quantised, results, strict=True):
                for name, values in compare(reference, model.logits(tokens), following).items():
                    columns.setdefault(name, []).extend(values)
    for columns in results:
        print(json.dumps(columns), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

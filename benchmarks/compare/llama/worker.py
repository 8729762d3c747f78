"""Greedy continuations by llama.cpp, for an interpreter with llama-cpp-python.

    python worker.py FILE.gguf TOKENS_PER_SEQUENCE SEQUENCES THREADS

Reads one JSON object per line, ``{"prompts": [[ids], ...], "max_tokens": n}``, and answers each
with one: ``sent_at`` and, per prompt, the times of its tokens (CLOCK_MONOTONIC, which all processes
share). All prompts run in one batch, through the library's own interface, as its server does.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence

import llama_cpp
import numpy as np

_BATCH = 512  # tokens in one call; llama.cpp's own default for a micro-batch


class Model:
    """One model and one context of it."""

    def __init__(self, path: str, length: int, sequences: int, threads: int) -> None:
        llama_cpp.llama_backend_init()
        model = llama_cpp.llama_model_load_from_file(
            path.encode(), llama_cpp.llama_model_default_params()
        )
        settings = llama_cpp.llama_context_default_params()
        # Room in whole blocks of 256 tokens, which it rounds to in any case.
        settings.n_ctx = -(-length // 256) * 256 * sequences
        settings.n_batch = settings.n_ubatch = _BATCH
        settings.n_seq_max = sequences
        settings.n_threads = settings.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(model, settings)
        if not self._context:
            raise SystemExit(f"llama.cpp cannot run {path}")
        self._num_words = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        self._batch = llama_cpp.llama_batch_init(_BATCH, 0, 1)

    def run(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> dict[str, object]:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
        sent_at = time.monotonic()
        arrivals: list[list[float]] = [[] for _ in prompts]
        words = [0] * len(prompts)
        feed = [
            (sequence, place, word, place == len(prompt) - 1)
            for sequence, prompt in enumerate(prompts)
            for place, word in enumerate(prompt)
        ]
        for start in range(0, len(feed), _BATCH):
            self._step(feed[start : start + _BATCH], words, arrivals)
        for number in range(max_tokens - 1):
            self._step(
                [(s, len(p) + number, words[s], True) for s, p in enumerate(prompts)],
                words,
                arrivals,
            )
        return {"sent_at": sent_at, "arrivals_at": arrivals}

    def _step(
        self,
        feed: Sequence[tuple[int, int, int, bool]],
        words: list[int],
        arrivals: list[list[float]],
    ) -> None:
        """One forward of (sequence, position, token, whether its next token is wanted)."""
        batch = self._batch
        batch.n_tokens = len(feed)
        for row, (sequence, place, word, is_last) in enumerate(feed):
            batch.token[row] = word
            batch.pos[row] = place
            batch.n_seq_id[row] = 1
            batch.seq_id[row][0] = sequence
            batch.logits[row] = is_last
        if llama_cpp.llama_decode(self._context, batch):
            raise SystemExit("llama_decode failed")
        for row, (sequence, _, _, is_last) in enumerate(feed):
            if is_last:
                logits = llama_cpp.llama_get_logits_ith(self._context, row)
                words[sequence] = int(np.ctypeslib.as_array(logits, (self._num_words,)).argmax())
                arrivals[sequence].append(time.monotonic())


def main(arguments: Sequence[str]) -> None:
    """Answer until the input ends."""
    model = Model(arguments[0], *(int(word) for word in arguments[1:4]))
    print(json.dumps({"ready": llama_cpp.__version__}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(model.run(request["prompts"], request["max_tokens"])), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

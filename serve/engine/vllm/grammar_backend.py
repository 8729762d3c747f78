"""Grammars in vLLM's core: its structured output, on the model folder's tokenizer.json.

::

    stream() ── structured_outputs(grammar) ══ unix socket ══▶ GrammarManager ─▶ GrammarBackend
                                                scheduler ◀─ masks ─ GrammarState, of a sequence

vLLM's own backend ``guidance`` does not take llguidance's JSON form, which both of our engines
share: it holds a grammar for Lark or GBNF and rewrites it. It knows one end-of-sequence token,
takes a grammar that does not compile for one that allows only that token, and wants the tokenizer
as transformers loads it, in the server's process too. This one is told all tokens that end an
answer, and ends the request that fails with an error. All else is vLLM's: compilation in a thread,
masks while the model computes, drafts of speculative decoding.

For the core's process alone; the server's never imports it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
from vllm.config import VllmConfig
from vllm.v1.engine import core
from vllm.v1.engine.core import EngineCoreProc
from vllm.v1.request import Request
from vllm.v1.structured_output import StructuredOutputManager
from vllm.v1.structured_output.backend_types import (
    StructuredOutputBackend,
    StructuredOutputGrammar,
    StructuredOutputOptions,
)

from serve.engine import end_tokens
from serve.engine.grammars import of_text, vocabulary
from serve.engine.grammars.of_text import TextMatcher, Vocabulary

_WORD_BITS = 32


class GrammarState(StructuredOutputGrammar):  # type: ignore[misc]  # vLLM is not typed
    """The grammar of one sequence, at the place where the sequence is.

    Args:
        matcher: fresh.
        eos_token_ids: those that end an answer, whichever comes.
    """

    def __init__(self, matcher: TextMatcher, eos_token_ids: Collection[int]) -> None:
        self._matcher = matcher
        self._eos_token_ids = eos_token_ids
        # A matcher that can take nothing more stops by itself. An end-of-sequence token that comes
        # then is none that it counts, and so none that it takes back.
        self._num_uncounted = 0

    def accept_tokens(self, request_id: str, tokens: list[int]) -> bool:  # noqa: ARG002
        """Whether the grammar goes on with them; where not, vLLM ends the request with an error."""
        return all(self._accept(token) for token in tokens)

    def _accept(self, token: int) -> bool:
        if self._matcher.is_error():  # it allows end-of-sequence then, which would look like an end
            return False
        if not self._matcher.is_stopped():
            return bool(self._matcher.consume_token(token))
        self._num_uncounted += 1
        return token in self._eos_token_ids

    def validate_tokens(self, tokens: list[int]) -> list[int]:
        """The first of these draft tokens, as many as are allowed. Changes nothing."""
        if self._matcher.is_stopped():
            return []
        return tokens[: self._matcher.validate_tokens(tokens)]

    def rollback(self, num_tokens: int) -> None:
        """Take back the last tokens."""
        uncounted = min(num_tokens, self._num_uncounted)
        self._num_uncounted -= uncounted
        if num_tokens > uncounted:
            self._matcher.rollback(num_tokens - uncounted)

    def fill_bitmask(self, bitmask: torch.Tensor, batch_index: int) -> None:
        """Write the mask of the next token. [rows, words] of int32, a bit for each token."""
        row = bitmask[batch_index]
        self._matcher.unsafe_compute_mask_ptr(row.data_ptr(), row.numel() * row.element_size())

    def is_terminated(self) -> bool:
        """Whether the sequence has ended by an end-of-sequence token."""
        return self._num_uncounted > 0 or self._matcher.stop_reason() == "EndOfSentence"

    def reset(self) -> None:
        self._num_uncounted = 0
        self._matcher.reset()


class GrammarBackend(StructuredOutputBackend):  # type: ignore[misc]
    """Compiles grammars for one model.

    Args:
        vllm_config: of the engine.
        building: the model's tokens, which may still be read.
    """

    def __init__(self, vllm_config: VllmConfig, building: Future[Vocabulary]) -> None:
        super().__init__(vllm_config, None, vllm_config.model_config.get_vocab_size())
        self._building = building

    def compile_grammar(
        self,
        request_type: StructuredOutputOptions,  # noqa: ARG002 - always one and the same
        grammar_spec: str,
        stop_token_ids: set[int] | None = None,  # noqa: ARG002 - those of one request
    ) -> GrammarState:
        """Raises GrammarRefused, which vLLM makes the end of this request alone."""
        tokens = self._building.result()
        return GrammarState(of_text.compiled(tokens, grammar_spec), frozenset(tokens.eos_tokens))

    def allocate_token_bitmask(self, max_num_seqs: int) -> torch.Tensor:
        num_words = -(-self._building.result().vocab_size // _WORD_BITS)
        return torch.full((max_num_seqs, num_words), -1, dtype=torch.int32)

    def destroy(self) -> None:
        """Nothing is held."""


class GrammarManager(StructuredOutputManager):  # type: ignore[misc]
    """vLLM's, with that backend, and without a tokenizer of vLLM's."""

    def __init__(self, building: Future[Vocabulary], vllm_config: VllmConfig) -> None:
        super().__init__(vllm_config)
        self.executor = ThreadPoolExecutor(1, "grammar")
        self.backend = GrammarBackend(vllm_config, building)

    def _create_grammar(self, request: Request) -> GrammarState:
        """Without a log: that of vLLM would be the trace of each grammar that does not compile."""
        return self.backend.compile_grammar(
            *request.structured_output_request.structured_output_key
        )


def install(arguments: Mapping[str, Any]) -> None:
    """Have the core of this process, which is not made yet, hold completions to grammars.

    The tokenizer is read in a thread, while the worker loads the weights.

    Args:
        arguments: of vLLM's ``run_engine_core``.
    """
    model = arguments["vllm_config"].model_config
    folder, vocab_size = Path(model.model), model.get_vocab_size()
    eos_token_ids = end_tokens.eos_token_ids(folder, model.hf_config)
    building = ThreadPoolExecutor(1, "vocabulary").submit(
        vocabulary.load,
        folder,
        vocab_size=vocab_size,
        eos_token_ids=[token for token in eos_token_ids if token < vocab_size],
    )
    core.StructuredOutputManager = partial(GrammarManager, building)
    EngineCoreProc.grammar_fault = lambda _: fault_of(building)


def fault_of(building: Future[Vocabulary]) -> str | None:
    """The reason for no grammars on this model, or None. Waits until the vocabulary is read."""
    error = building.exception()
    return None if error is None else str(error)

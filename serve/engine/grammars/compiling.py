"""Grammars compiled: each once for a model, kept while there is room, copied for every sequence.

::

    Grammar ── serialised ── LLMatcher ── first mask ──▶ template ── copy ──▶ Matcher
                            (in a worker thread)        (kept)      (for each sequence)

The first mask shows whether the language has a text at all, which no validation does. Everything
that can be refused is refused here, before a sequence is admitted.
"""

from __future__ import annotations

import functools
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from llguidance import LLMatcher, LLTokenizer

from serve.engine.grammars import bounds, deep_stack, vocabulary, wording
from serve.engine.grammars.grammar import Grammar
from serve.engine.grammars.matcher import Matcher, mask_bytes
from serve.engine.grammars.refusal import GrammarRefused
from serve.engine.grammars.serialised import serialised
from serve.engine.grammars.worker import TooSlowError, Worker
from serve.errors import InvalidRequest


@dataclass(slots=True)
class _Template:
    matcher: Matcher
    num_chars: int
    mask_s: float = 0.0


class GrammarCompiler:
    """Compiles for one vocabulary. Safe to use from several threads and event loops.

    Args:
        tokenizer: llguidance's.
        vocab_size: of the model.
    """

    def __init__(self, tokenizer: LLTokenizer, vocab_size: int) -> None:
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._limits = bounds.limits()
        self._lock = threading.Lock()
        self._templates: OrderedDict[Grammar, _Template] = OrderedDict()
        self._worker: Worker[Matcher] = Worker(
            most_s=bounds.MOST_COMPILE_S, most_stuck=bounds.MOST_STUCK
        )

    @property
    def mask_bytes(self) -> int:
        """Bytes of one mask; it may be of more tokens than the model has."""
        return mask_bytes(self._tokenizer.vocab_size)

    @property
    def num_cached(self) -> int:
        return len(self._templates)

    async def matcher(self, grammar: Grammar, *, param: str | None = None) -> Matcher:
        """A matcher at the beginning of the grammar's language. Blocks no event loop.

        Args:
            grammar: the language.
            param: the field that an error names.

        Raises:
            InvalidRequest: it is no grammar, is too large, or no text is of its language.
        """
        found = self._cached(grammar)
        if found is not None:
            return found
        try:
            return await self._worker.run(functools.partial(self.compile, grammar, param=param))
        except TooSlowError:
            raise InvalidRequest(wording.TOO_SLOW, param=param) from None

    def compile(self, grammar: Grammar, *, param: str | None = None) -> Matcher:
        """The same, in the thread that calls."""
        found = self._cached(grammar)
        if found is not None:
            return found
        try:
            matcher = deep_stack.run(functools.partial(self._compiled, grammar))
        except GrammarRefused as refused:
            raise InvalidRequest(str(refused), param=param) from None
        with self._lock:
            self._templates[grammar] = _Template(matcher, _num_chars(grammar))
            self._evict()
        return matcher.copy()

    def took(self, grammar: Grammar, seconds: float, *, has_failed: bool = False) -> None:
        """Say how long masks of a grammar took; it is made anew once they have taken too long.

        Args:
            grammar: one that was compiled here.
            seconds: of one sequence's masks.
            has_failed: a matcher of it came to an end at the bounds. What is shared with it may be
                at them, too.
        """
        with self._lock:
            template = self._templates.get(grammar)
            if template is None:
                return
            template.mask_s += seconds
            if has_failed or template.mask_s > bounds.MOST_MASK_S:
                del self._templates[grammar]

    def _cached(self, grammar: Grammar) -> Matcher | None:
        with self._lock:
            template = self._templates.get(grammar)
            if template is None:
                return None
            self._templates.move_to_end(grammar)
            return template.matcher.copy()

    def _evict(self) -> None:
        num_chars = sum(template.num_chars for template in self._templates.values())
        while len(self._templates) > 1 and (
            len(self._templates) > bounds.CACHED_GRAMMARS or num_chars > bounds.CACHED_TEXT
        ):
            _, oldest = self._templates.popitem(last=False)
            num_chars -= oldest.num_chars

    def _compiled(self, grammar: Grammar) -> Matcher:
        text = serialised(grammar)
        inner = LLMatcher(self._tokenizer, text, log_level=0, limits=self._limits)
        if inner.is_error():
            raise GrammarRefused(wording.refusal(inner.get_error(), grammar))
        matcher = Matcher(inner.deep_copy(), self._vocab_size)
        self._check_first_mask(inner, grammar)
        return matcher

    def _check_first_mask(self, inner: LLMatcher, grammar: Grammar) -> None:
        mask = inner.compute_bitmask()
        if inner.is_error():
            message = inner.get_error()
            is_empty = "NoExtension" in message
            raise GrammarRefused(wording.EMPTY if is_empty else wording.refusal(message, grammar))
        usable = int.from_bytes(mask, "little") & ((1 << self._vocab_size) - 1)
        if not usable:
            raise GrammarRefused(wording.EMPTY)


def _num_chars(grammar: Grammar) -> int:
    own = len(grammar.text) + sum(map(len, grammar.choices))
    return own + sum(_num_chars(part) for _, part in grammar.parts)


@functools.lru_cache(maxsize=2)
def compiler_of(folder: Path, *, vocab_size: int, eos_token_ids: frozenset[int]) -> GrammarCompiler:
    """The compiler for a model: one for the engine and for whoever checks above it. Blocks.

    Raises:
        VocabularyError: the model's tokenizer cannot be read for this.
    """
    return GrammarCompiler(
        vocabulary.load(folder, vocab_size=vocab_size, eos_token_ids=eos_token_ids), vocab_size
    )


class MaskClock:
    """Adds up the seconds that one sequence's masks take, and tells them at its end."""

    __slots__ = ("_compiler", "_grammar", "seconds")

    def __init__(self, compiler: GrammarCompiler, grammar: Grammar) -> None:
        self._compiler, self._grammar = compiler, grammar
        self.seconds = 0.0

    def fill(self, matcher: Matcher, address: int, num_bytes: int) -> None:
        """``Matcher.fill``, measured."""
        begun_at = time.perf_counter()
        try:
            matcher.fill(address, num_bytes)
        except InvalidRequest:
            self._compiler.took(self._grammar, 0.0, has_failed=True)
            raise
        finally:
            self.seconds += time.perf_counter() - begun_at

    def close(self) -> None:
        """Tell the compiler. Once."""
        self._compiler.took(self._grammar, self.seconds)
        self.seconds = 0.0

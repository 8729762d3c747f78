"""The mask of a grammar: bits from llguidance, applied to rows of logits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from serve.engine.grammars.compiling import GrammarCompiler, MaskClock
from serve.engine.grammars.grammar import Grammar
from serve.engine.grammars.matcher import Matcher


class GrammarMask:
    """A ``LogitsMask``.

    Args:
        matcher: at the beginning of the language; this mask's from here on.
        compiler: which made it.
        grammar: of which it was made.
    """

    def __init__(self, matcher: Matcher, compiler: GrammarCompiler, grammar: Grammar) -> None:
        self._matcher = matcher
        self._clock = MaskClock(compiler, grammar)
        self._bits = np.zeros(compiler.mask_bytes, np.uint8)
        self._is_filled = False

    def prepare(self) -> None:
        """Compute the bits of the next token, if need be, without the interpreter's lock.

        Raises:
            InvalidRequest: they take more work than is allowed.
        """
        if not self._is_filled:
            self._clock.fill(self._matcher, self._bits.ctypes.data, self._bits.nbytes)
            self._is_filled = True

    def allows(self, token_id: int) -> bool:
        self.prepare()
        return _allows(self._bits, token_id)

    def apply(self, logits: torch.Tensor) -> None:
        self.prepare()
        _apply(self._bits, logits)

    def accept(self, token_id: int) -> None:
        self._is_filled = False
        self._matcher.accept(token_id)

    def ahead(self, token_ids: Sequence[int]) -> list[MaskAhead]:
        matcher = self._matcher.copy()
        allowed = token_ids[: matcher.num_allowed(token_ids)]
        walk = _Walk(matcher, allowed, self._clock, self._bits.nbytes)
        return [MaskAhead(walk, index) for index in range(len(allowed))]

    def forced(self) -> Sequence[int]:
        return self._matcher.forced()

    def close(self) -> None:
        self._clock.close()


class _Walk:
    """The masks after each of some tokens, computed in order.

    Args:
        matcher: a copy, this one's own.
        token_ids: all of them allowed.
    """

    def __init__(
        self, matcher: Matcher, token_ids: Sequence[int], clock: MaskClock, num_bytes: int
    ) -> None:
        self._matcher, self._token_ids, self._clock = matcher, token_ids, clock
        self._rows = [np.zeros(num_bytes, np.uint8) for _ in token_ids]
        self._num_filled = 0

    def bits(self, index: int) -> np.ndarray:
        """The bits after token ``index``. Raises InvalidRequest as ``GrammarMask.prepare`` does."""
        while self._num_filled <= index:
            row = self._rows[self._num_filled]
            self._matcher.accept(self._token_ids[self._num_filled])
            self._clock.fill(self._matcher, row.ctypes.data, row.nbytes)
            self._num_filled += 1
        return self._rows[index]


class MaskAhead:
    """A ``LogitsMask`` of the place after a guess: it goes no further."""

    def __init__(self, walk: _Walk, index: int) -> None:
        self._walk, self._index = walk, index

    def prepare(self) -> None:
        self._walk.bits(self._index)

    def allows(self, token_id: int) -> bool:
        return _allows(self._walk.bits(self._index), token_id)

    def apply(self, logits: torch.Tensor) -> None:
        _apply(self._walk.bits(self._index), logits)


def _allows(bits: np.ndarray, token_id: int) -> bool:
    return bool(bits[token_id >> 3] >> (token_id & 7) & 1)


def _apply(bits: np.ndarray, logits: torch.Tensor) -> None:
    allowed = np.unpackbits(bits, count=len(logits), bitorder="little")
    is_left_out = torch.from_numpy(allowed).to(logits.device) == 0
    logits.masked_fill_(is_left_out, -torch.inf)

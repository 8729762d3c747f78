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
        return bool(self._bits[token_id >> 3] >> (token_id & 7) & 1)

    def apply(self, logits: torch.Tensor) -> None:
        self.prepare()
        allowed = np.unpackbits(self._bits, count=len(logits), bitorder="little")
        is_left_out = torch.from_numpy(allowed).to(logits.device) == 0
        logits.masked_fill_(is_left_out, -torch.inf)

    def accept(self, token_id: int) -> None:
        self._is_filled = False
        self._matcher.accept(token_id)

    def forced(self) -> Sequence[int]:
        return self._matcher.forced()

    def close(self) -> None:
        self._clock.close()

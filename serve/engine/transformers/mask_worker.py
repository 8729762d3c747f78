"""Masks of a step, computed while its forward runs.

A mask of a common grammar takes 0.1 ms, at worst some 15; the forward has no use for it. llguidance
and the forward's products both leave the interpreter to others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from serve.engine.transformers.logits_mask import RowMask

log = logging.getLogger(__name__)


class MaskWorker:
    """A thread that prepares masks. Begun with the first; ends with the process."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "masks")

    def begin(self, masks: Sequence[RowMask]) -> Callable[[], None]:
        """Begin to prepare masks; the result waits until all are.

        One that cannot be prepared is left to the sampler, for which it will fail again.
        """
        if not masks:
            return lambda: None
        return self._thread.submit(_prepare, masks).result


def _prepare(masks: Sequence[RowMask]) -> None:
    for mask in masks:
        try:
            mask.prepare()
        except Exception:
            log.debug("a mask was not prepared", exc_info=True)

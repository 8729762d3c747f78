"""Panics of a library written in Rust, as errors of ours.

PyO3 turns a panic into an exception that is no ``Exception``, so that it passes every ``except``
and ends whatever runs. What panicked has let go of its locks: the next call is served as before.
"""

from __future__ import annotations

import logging
from types import TracebackType

from serve.errors import InternalError

log = logging.getLogger(__name__)


class Guarded:
    """A block in which a panic becomes an InternalError. Holds nothing: one serves all threads."""

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if (
            kind is not None
            and kind.__name__ == "PanicException"
            and not issubclass(kind, Exception)
        ):
            log.error("the tokenizer's library panicked; its own message is on standard error")
            raise InternalError(
                "The tokenizer failed on this prompt: a defect of its library, or a damaged "
                "tokenizer.json. Other prompts may work; the operator should check the model."
            ) from None


NO_PANIC = Guarded()

"""Reading the vocabulary for grammars while the weights are loaded."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from serve.engine.grammars.compiling import GrammarCompiler, compiler_of
from serve.engine.grammars.vocabulary import VocabularyError

log = logging.getLogger(__name__)


class BackgroundCompiler:
    """Begins at once, in a thread of its own."""

    def __init__(self, folder: Path, *, vocab_size: int, eos_token_ids: frozenset[int]) -> None:
        self._folder = folder
        self._vocab_size, self._eos_token_ids = vocab_size, eos_token_ids
        self._compiler: GrammarCompiler | None = None
        self._thread = threading.Thread(target=self._read, name="vocabulary", daemon=True)
        self._thread.start()

    def result(self) -> GrammarCompiler | None:
        """The compiler; None where the model takes no grammars, which the log says. Waits."""
        self._thread.join()
        return self._compiler

    def _read(self) -> None:
        try:
            self._compiler = compiler_of(
                self._folder, vocab_size=self._vocab_size, eos_token_ids=self._eos_token_ids
            )
        except VocabularyError as error:
            log.warning(
                "this model takes no grammars: structured output and required tools are refused",
                extra={"model": self._folder.name, "reason": str(error)},
            )
        except Exception:
            log.exception("the vocabulary could not be read for grammars")

"""The check of a grammar before a request is admitted, the same above either engine."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

from serve.engine.grammars.compiling import GrammarCompiler, compiler_of
from serve.engine.grammars.grammar import Grammar
from serve.engine.grammars.vocabulary import VocabularyError
from serve.errors import UnsupportedField


class GrammarChecker:
    """Checks grammars against the vocabulary of a model folder.

    The vocabulary is read when the first grammar comes, unless the engine has read it already.

    Args:
        folder: of the model.
        vocab_size: of the model.
        eos_token_ids: of the engine.
    """

    def __init__(self, folder: Path, *, vocab_size: int, eos_token_ids: Collection[int]) -> None:
        self._folder = folder
        self._vocab_size = vocab_size
        self._eos_token_ids = frozenset(eos_token_ids)
        self._compiler: GrammarCompiler | None = None

    async def check(self, grammar: Grammar, param: str | None) -> None:
        """Refuse what no completion can be of. Blocks no event loop; nothing is held after it.

        Args:
            grammar: the language.
            param: the field of the request that an error names.

        Raises:
            InvalidRequest: it is no grammar, is too large, or no text is of its language.
            UnsupportedField: the model's tokenizer allows no grammars.
        """
        if self._compiler is None:
            try:
                self._compiler = await asyncio.to_thread(self._read)
            except VocabularyError as error:
                raise UnsupportedField(
                    f"This model takes no grammars: {error}. Leave it out.", param=param
                ) from None
        await self._compiler.matcher(grammar, param=param)

    def _read(self) -> GrammarCompiler:
        return compiler_of(
            self._folder, vocab_size=self._vocab_size, eos_token_ids=self._eos_token_ids
        )

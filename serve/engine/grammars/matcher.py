"""The place that one completion has reached in its grammar. Nothing else calls a matcher.

llguidance's matcher raises nothing for what a grammar or a token does to it: it enters an error
state, which is looked at here after each call.
"""

from __future__ import annotations

from collections.abc import Sequence

from llguidance import LLMatcher

from serve.errors import InvalidRequest

_TOO_COMPLEX = (
    "The grammar takes too much work at this point of the completion, so the next token cannot be "
    "chosen. Simplify it: fewer alternatives that begin alike, shorter repetitions."
)
_SPECIAL_NAME = (
    "The grammar wants the name of one of this model's special tokens as a text, which cannot be "
    "chosen here. Leave it out of the grammar, or name the token itself, by Lark's <NAME>."
)
_UNMATCHED = "doesn't satisfy the grammar"
"""In llguidance's error: it had allowed a special token where the text that is its name is due."""
_DEAD_END = (
    "The completion has come to a part of the grammar of which there is no text, so it cannot go "
    "on. Take that part out, or make it optional."
)


class Matcher:
    """One completion's state. Not to be used by two threads at once.

    Args:
        matcher: llguidance's, this one's from here on.
        vocab_size: of the model. Forced tokens stay below it.
    """

    __slots__ = ("_matcher", "_vocab_size")

    def __init__(self, matcher: LLMatcher, vocab_size: int) -> None:
        self._matcher = matcher
        self._vocab_size = vocab_size

    def copy(self) -> Matcher:
        """Another completion at the same place: some microseconds."""
        return Matcher(self._matcher.deep_copy(), self._vocab_size)

    def fill(self, address: int, num_bytes: int) -> None:
        """Write one bit for each token that may come next: bit ``i % 8`` of byte ``i // 8``.

        Without the interpreter's lock.

        Args:
            address: of the memory, which is a whole number of 32 bits long.
            num_bytes: of that memory; as many as ``mask_bytes``.

        Raises:
            InvalidRequest: the mask takes more work than the bounds allow.
        """
        self._matcher.unsafe_compute_mask_ptr(address, num_bytes)
        # "Stopped" without an error is the language's end.
        if self._matcher.is_error():
            raise self._error()

    def accept(self, token_id: int) -> None:
        """Go on past a token of the last mask; at the language's end, one that ends the sequence.

        Raises:
            InvalidRequest: more work than the bounds allow; or the text that is wanted is the name
                of a special token.
        """
        if not self._matcher.consume_token(token_id):
            raise self._error()

    def num_allowed(self, token_ids: Sequence[int]) -> int:
        """The number of these tokens, from the first on, that may come. Goes on past none."""
        return self._matcher.validate_tokens(list(token_ids))

    def _error(self) -> InvalidRequest:
        message = self._matcher.get_error()
        if _UNMATCHED in message:
            return InvalidRequest(_SPECIAL_NAME)
        return InvalidRequest(_DEAD_END if "NoExtension" in message else _TOO_COMPLEX)

    def forced(self) -> list[int]:
        """The next tokens, as far as each is the only one that its mask leaves. Microseconds."""
        tokens = self._matcher.compute_ff_tokens()
        for index, token_id in enumerate(tokens):
            if token_id >= self._vocab_size:
                return tokens[:index]
        return tokens

    @property
    def is_complete(self) -> bool:
        """Whether the language is at its end: only a token that ends the sequence may come."""
        return self._matcher.is_stopped() and not self._matcher.is_error()

    @property
    def is_accepting(self) -> bool:
        """Whether the completion may end here."""
        return self._matcher.is_accepting() and not self._matcher.is_error()


def mask_bytes(num_tokens: int) -> int:
    """Bytes of a mask over so many tokens of llguidance's vocabulary."""
    return (num_tokens + 31) // 32 * 4

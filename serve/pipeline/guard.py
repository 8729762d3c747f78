"""The guard between a client's text and control tokens: only the template and the model make these.

A tokenizer takes its added tokens (``<|im_end|>``, ``</think>``) out of any text, so a client who
writes one would end its own turn and begin another's. The rendered prompt says which characters
are a client's (traced_text.py). From it come, without guessing how the tokenizer matches:

1. the prompt's ids, as the reference encodes them;
2. the control tokens that the template makes by itself: those of the *skeleton*, which is the
   prompt with each run of a client's characters shrunk to a character that no token holds.

Where the control tokens of both agree, 1 is the answer: ordinary prompts are encoded exactly as
everywhere else. Where they differ, the template's tokens get a name that nobody can write, and the
prompt is encoded by a copy of the tokenizer that knows no others: all the rest is plain text,
with the same normaliser and the same boundaries. The result is held against the skeleton again.
"""

from __future__ import annotations

import json
import re
import secrets
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from tokenizers import AddedToken, Tokenizer

from serve.errors import InternalError, InvalidRequest
from serve.pipeline.control_tokens import ids_of_text, is_byte, is_control, renamed
from serve.pipeline.panics import NO_PANIC
from serve.pipeline.span_cache import SpanCache
from serve.pipeline.spans import Cuts, SpanEncoder, cuts_of
from serve.pipeline.traced_text import mask_of

Span = tuple[int, int]

_SPACE = "\u2003"
"""A stand-in for a client's white space in a skeleton."""

NUM_SKELETONS, MAX_SKELETON_CHARS = 1024, 4096
"""Skeletons kept, and how long at most: they repeat, for they depend on roles, not on words."""


@dataclass(frozen=True, slots=True)
class Skeleton:
    """The control tokens that a template makes by itself.

    Attributes:
        ids: in order, those of unknown characters and bytes too, where the template wrote them.
        spans: where they are, in characters of the skeleton; without white space around them.
    """

    ids: list[int]
    spans: list[tuple[int, Span]]


class ControlGuard:
    """Encodes rendered prompts so that a client's text makes no control token.

    Args:
        tokenizer: as read from tokenizer.json; it is not changed.
        cache: of the spans of prompts; made here unless given.
    """

    def __init__(self, tokenizer: Tokenizer, cache: SpanCache | None = None) -> None:
        added = tokenizer.get_added_tokens_decoder()
        self._tokenizer = tokenizer
        stored = json.loads(tokenizer.to_str())
        self._tokens = {i: token for i, token in added.items() if is_control(token)}
        self._watched = frozenset(self._tokens)
        self._of_text = ids_of_text(stored["model"], self._tokens)
        """Ids that plain text may come to as well: an unknown character's, a byte's."""
        self._control = self._watched - self._of_text
        # No other prompt can hold it, and nothing folds, composes or strips letters like these.
        letters = "".join(secrets.choice("qxzjkw") for _ in range(40))
        self._names = {
            i: f"{letters}{_in_letters(i)}q"
            for i, token in self._tokens.items()
            if not is_byte(token, stored["model"])
        }
        self._cuts = _cuts(tokenizer, stored)
        cache = cache or SpanCache()
        self._reference = _span_encoder(tokenizer, self._cuts, cache, "reference")
        self._plain, self._named = tokenizer, self._reference
        if self._tokens:
            self._plain = renamed(stored, self._tokens, self._names)
            cuts = _cuts(self._plain, stored, frozenset(self._names.values()))
            self._named = _span_encoder(self._plain, cuts, cache, "plain")
        contents = "".join(token.content for token in self._tokens.values())
        self._other = _absent_from(contents, range(0xE000, 0xF900))  # for private use: of no class
        self._word = _absent_from(contents, range(0xA4D0, 0xA4F8))  # letters, without case
        self._by_class = any(t.single_word or t.lstrip or t.rstrip for t in self._tokens.values())
        self._kept_skeleton = lru_cache(NUM_SKELETONS)(self._skeleton)
        self._num_skeleton_chars = 0

    @property
    def num_chars(self) -> int:
        """Characters that were given to the tokenizer so far, stand-ins included."""
        own = {self._reference, self._named}
        return self._num_skeleton_chars + sum(encoder.num_chars for encoder in own)

    def encode(self, text: str, owner: str | None = None) -> list[int]:
        """Token ids of a rendered prompt, whose mask says what a client wrote.

        Args:
            owner: whose prompt it is: spans of it are kept for the same owner's next one. None
                keeps nothing.

        Raises:
            InvalidRequest: the control tokens that result are not those of the template.
        """
        ids = self._reference.encode(text, owner)
        mask = mask_of(text)
        if not self._watched or b"\x01" not in mask:
            return ids
        skeleton_text, offsets = self._shrunk(text, mask)
        skeleton = self._skeleton_of(skeleton_text)
        watched = self._watched
        if [i for i in ids if i in watched] == skeleton.ids:
            return ids
        ids = self._named.encode(self._with_names(text, skeleton, offsets), owner)
        control = self._control
        if [i for i in ids if i in control] != [i for i in skeleton.ids if i in control]:
            raise InvalidRequest(
                "The messages hold text that this model's tokenizer cannot tell from its control "
                "tokens. Leave the names of control tokens out of it, or send the whole prompt "
                "to /v1/completions.",
                param="messages",
            )
        return ids

    def _shrunk(self, text: str, mask: bytes) -> tuple[str, list[tuple[int, int]]]:
        """The skeleton of a prompt, and pairs of its offsets and the prompt's where they part."""
        pieces: list[str] = []
        offsets = [(0, 0)]
        at = length = 0
        plain = str.__str__(text)
        for run in re.finditer(rb"\x01+", mask):
            start, end = run.span()
            stand_in = self._stand_in(plain, start, end)
            pieces += (plain[at:start], stand_in)
            length += start - at + len(stand_in)
            at = end
            offsets.append((length, end))
        pieces.append(plain[at:])
        return "".join(pieces), offsets

    def _stand_in(self, text: str, start: int, end: int) -> str:
        """The stand-in for a run of a client's characters; its ends keep their class."""
        if not self._by_class:
            return self._other
        first, last = self._like(text[start]), self._like(text[end - 1])
        return first if end - start == 1 else f"{first}{self._other}{last}"

    def _like(self, character: str) -> str:
        if character.isspace():
            return _SPACE
        return self._word if _is_of_word(character) else self._other

    def _skeleton_of(self, text: str) -> Skeleton:
        """The control tokens of a skeleton's text, span by span: spans repeat with each turn."""
        spans = [text] if self._cuts is None else self._cuts.spans(text, 1)
        ids: list[int] = []
        places: list[tuple[int, Span]] = []
        at = 0
        for span in spans:
            is_short = len(span) <= MAX_SKELETON_CHARS
            part = (self._kept_skeleton if is_short else self._skeleton)(span)
            ids += part.ids
            places += [(i, (start + at, end + at)) for i, (start, end) in part.spans]
            at += len(span)
        return Skeleton(ids, places)

    def _skeleton(self, text: str) -> Skeleton:
        self._num_skeleton_chars += len(text)
        with NO_PANIC:  # a batch of one, as in encode_plainly, and with offsets
            encoding = self._tokenizer.encode_batch([text], add_special_tokens=False)[0]
        ids: list[int] = []
        spans: list[tuple[int, Span]] = []
        for token_id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if token_id not in self._watched:
                continue
            token = self._tokens[token_id]
            span = _core(text, start, end, token)
            found = text[span[0] : span[1]]
            if any(stand_in in found for stand_in in (self._other, self._word, _SPACE)):
                continue
            ids.append(token_id)
            if token_id not in self._of_text or found == token.content:
                spans.append((token_id, span))
        return Skeleton(ids, spans)

    def _with_names(self, text: str, skeleton: Skeleton, offsets: list[tuple[int, int]]) -> str:
        """The prompt with the template's control tokens under the names of the plain copy."""
        plain, at, part = str.__str__(text), 0, 0
        pieces: list[str] = []
        for token_id, (start, end) in skeleton.spans:
            while part + 1 < len(offsets) and offsets[part + 1][0] <= start:
                part += 1
            shift = offsets[part][1] - offsets[part][0]
            name = self._names.get(token_id, plain[start + shift : end + shift])
            pieces += (plain[at : start + shift], name)
            at = end + shift
        return "".join([*pieces, plain[at:]])


def encode_plainly(
    tokenizer: Tokenizer, text: str, *, add_special_tokens: bool = False
) -> list[int]:
    """Token ids as the tokenizer has them.

    A batch of one, because it lets go of the interpreter lock, and `encode` does not: 1 MB of
    text held up everything else for 1.9 s, and for 9 ms this way.
    """
    texts = [str.__str__(text)]
    return _encode_all(tokenizer, texts, add_special_tokens=add_special_tokens)[0]


def _encode_all(
    tokenizer: Tokenizer, texts: Sequence[str], *, add_special_tokens: bool = False
) -> list[list[int]]:
    with NO_PANIC:
        made = tokenizer.encode_batch_fast(list(texts), add_special_tokens=add_special_tokens)
    return [encoding.ids for encoding in made]


def _span_encoder(
    tokenizer: Tokenizer, cuts: Cuts | None, cache: SpanCache, kind: str
) -> SpanEncoder:
    return SpanEncoder(partial(_encode_all, tokenizer), cuts, cache, kind)


def _cuts(
    tokenizer: Tokenizer, stored: dict[str, Any], among: frozenset[str] | None = None
) -> Cuts | None:
    tokens = list(tokenizer.get_added_tokens_decoder().values())
    with suppress(InternalError):  # a probe that its library fails on is no reason not to start
        return cuts_of(stored, tokens, partial(_encode_all, tokenizer), among)
    return None


def spans_of(tokenizer: Tokenizer, text: str, *, add_special_tokens: bool) -> list[Span]:
    """The first and last place of each token's characters; (0, 0) of one that has none."""
    with NO_PANIC:
        (encoding,) = tokenizer.encode_batch(
            [str.__str__(text)], add_special_tokens=add_special_tokens
        )
    return encoding.offsets


def _core(text: str, start: int, end: int, token: AddedToken) -> Span:
    """A token's place without what it takes along: white space, or a normaliser's prefix."""
    found = text[start:end]
    if (at := found.find(token.content)) >= 0:
        return start + at, start + at + len(token.content)
    if token.lstrip or token.content[:1].strip():
        start = end - len(found.lstrip())
    if token.rstrip or token.content[-1:].strip():
        end = start + len(text[start:end].rstrip())
    return start, end


def _is_of_word(character: str) -> bool:
    r"""Whether ``\\w`` of the regular expressions in `tokenizers` holds it."""
    category = unicodedata.category(character)
    return category[0] in "LM" or category in {"Nd", "Nl", "Pc"} or character in "\u200c\u200d"


def _absent_from(text: str, codes: range) -> str:
    return next(chr(code) for code in codes if chr(code) not in text)


def _in_letters(number: int) -> str:
    return "".join("vxzjkwyhgb"[int(digit)] for digit in str(number))

"""Spans of a text that can be encoded one by one: a tokenizer's own added tokens part them.

`tokenizers` takes added tokens out of a text before anything else sees it (added_vocabulary.rs,
where a text is split), those first that are not ``normalized``: leftmost, then longest. What is
between two of them is normalised, split and merged by itself, so a text may be cut before such a
token without changing an id. A cut is where it is safe by the token's definition:

- it is not ``normalized``, for others are looked for in the normalised text;
- it takes no white space along and asks for no boundary of a word, and begins with neither, so that
  no neighbour's rule reaches over the cut;
- nothing draws lots (``dropout``) or shortens a text (``truncation``).

A span begins with its token, so that what treats the very start of a text in its own way (Metaspace
with ``prepend_scheme`` first) sees none. All this is held against the tokenizer itself, too: where
probes come out otherwise, there are no cuts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final, Protocol

from serve.pipeline.span_cache import SpanCache

MIN_SPAN_CHARS: Final = 256
"""Spans that are shorter go together with those behind them: a lookup costs as much as a line."""
MAX_PROBED: Final = 16

EncodeAll = Callable[[Sequence[str]], list[list[int]]]
"""Ids of each of some texts."""


class Added(Protocol):
    """An added token of a tokenizer, as `tokenizers` describes it."""

    @property
    def content(self) -> str: ...
    @property
    def normalized(self) -> bool: ...
    @property
    def lstrip(self) -> bool: ...
    @property
    def rstrip(self) -> bool: ...
    @property
    def single_word(self) -> bool: ...


class Cuts:
    """Places where a text may be cut.

    Args:
        tokens: all added tokens of the tokenizer.
        among: names of those before which a cut is wanted; all unless given.
    """

    def __init__(self, tokens: Sequence[Added], among: frozenset[str] | None = None) -> None:
        first = [token for token in tokens if not token.normalized]
        has_words = any(token.single_word for token in first)
        self.names = frozenset(
            token.content
            for token in first
            if _is_plain(token, has_words=has_words) and (among is None or token.content in among)
        )
        longest_first = sorted({token.content for token in first}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def spans(self, text: str, min_chars: int) -> Iterator[str]:
        """The text in spans of at least so many characters, but for the last one.

        A longer text with the same beginning has the same spans, but for the last.
        """
        start = 0
        if self.names:
            for match in self._pattern.finditer(text):
                at = match.start()
                if at - start >= min_chars and match[0] in self.names:
                    yield text[start:at]
                    start = at
        yield text[start:]


def _is_plain(token: Added, *, has_words: bool) -> bool:
    first = token.content[:1]
    takes_along = token.lstrip or token.rstrip or token.single_word
    is_word = has_words and (first.isalnum() or not first.isascii() or first == "_")
    return bool(first.strip()) and not takes_along and not is_word


def cuts_of(
    stored: Mapping[str, Any],
    tokens: Sequence[Added],
    encode_all: EncodeAll,
    among: frozenset[str] | None = None,
) -> Cuts | None:
    """The cuts of a tokenizer; None where it has none that are proven.

    Args:
        stored: tokenizer.json.
        tokens: its added tokens.
        encode_all: encodes whole texts.
        among: see ``Cuts``.
    """
    if stored.get("truncation") or stored["model"].get("dropout"):
        return None
    cuts = Cuts(tokens, among)
    if not cuts.names:
        return None
    for text in _probes(sorted(cuts.names)[:MAX_PROBED], tokens):
        whole, *parts = encode_all([text, *cuts.spans(text, 1)])
        if whole != list(chain.from_iterable(parts)):
            return None
    return cuts


def _probes(names: Sequence[str], tokens: Sequence[Added]) -> Iterator[str]:
    """Texts in which cuts stand beside all kinds of things."""
    others = [token.content for token in tokens][:MAX_PROBED]
    sides = ("", " ", "\n", "a", " Hello, World", "1234 ", "é\u0301", "▁x", "  \n\n ", "'s")
    for number, name in enumerate(names):
        for turn, side in enumerate(sides):
            other = others[(number + turn) % len(others)]
            next_name = names[(number + turn) % len(names)]
            yield f"{side}{name}{side}{other}{next_name}{other}{side}{name}{next_name}{side}"


class SpanEncoder:
    """Encodes texts span by span, and remembers the spans for their owner.

    Args:
        encode_all: encodes whole texts.
        cuts: None where texts are encoded as a whole.
        cache: of spans.
        kind: which tokenizer this is, among those that share the cache.

    Attributes:
        num_chars: characters that were given to the tokenizer so far.
    """

    def __init__(
        self, encode_all: EncodeAll, cuts: Cuts | None, cache: SpanCache, kind: str
    ) -> None:
        self._encode_all = encode_all
        self._cuts = cuts
        self._cache = cache
        self._kind = kind
        self.num_chars = 0

    def encode(self, text: str, owner: str | None) -> list[int]:
        """Token ids of a text.

        Args:
            owner: whose text it is; None looks nothing up and keeps nothing.
        """
        text = str.__str__(text)
        if owner is None or self._cuts is None or len(text) < MIN_SPAN_CHARS:
            return self._encoded([text])[0]
        spans = list(self._cuts.spans(text, MIN_SPAN_CHARS))
        keys = [self._cache.key(owner, self._kind, span) for span in spans]
        found = [self._cache.get(key) for key in keys]
        missing = [at for at, ids in enumerate(found) if ids is None]
        made = self._encoded([spans[at] for at in missing]) if missing else []
        for at, ids in zip(missing, made, strict=True):
            found[at] = ids
            if len(spans[at]) >= MIN_SPAN_CHARS:
                self._cache.put(keys[at], ids)
        return list(chain.from_iterable(ids for ids in found if ids is not None))

    def _encoded(self, texts: Sequence[str]) -> list[list[int]]:
        self.num_chars += sum(map(len, texts))
        return self._encode_all(texts)

"""The place of a prompt's parts in its text, through whatever the template does to them.

The prompt is rendered again with one part alone followed as a client's (tracing.py): what is then a
client's in the text is that part. No knowledge of templates is needed, and no search for texts
that could stand in two places.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from serve.errors import RequestError
from serve.pipeline.chat_text import Follows, chat_text
from serve.pipeline.events import ChatPrompt
from serve.pipeline.message_forms import THOUGHTS
from serve.pipeline.template import ChatTemplate
from serve.pipeline.tokenizer import ModelTokenizer
from serve.pipeline.traced_text import mask_of

Region = tuple[int, int]
"""From the first character of a part to behind its last one."""

_PROBE: Final = "thought-of-this-message"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a request: a tool, a message or a field of one, or a setting.

    Attributes:
        kind: ``messages`` or ``tools``, or the whole name of what has no number.
        index: None where it has none.
        field: of a message; empty is all of it.
    """

    kind: str
    index: int | None = None
    field: str = ""

    def __str__(self) -> str:
        place = "" if self.index is None else f"[{self.index}]"
        return f"{self.kind}{place}{'.' if self.field else ''}{self.field}"


class Places:
    """The places of one prompt's parts. All of it renders, and so takes milliseconds.

    Args:
        token_ids: of the prompt.
    """

    def __init__(
        self,
        template: ChatTemplate | None,
        tokenizer: ModelTokenizer,
        prompt: ChatPrompt,
        token_ids: Sequence[int],
    ) -> None:
        self._template = template
        self._tokenizer = tokenizer
        self._prompt = prompt
        self._token_ids = token_ids

    def of_token(self, token: int) -> Region:
        """The characters of a token, at least one. Those behind the last are at the text's end."""
        start = self._num_chars(token)
        return start, max(start + 1, self._num_chars(token + 1))

    def of_part(self, part: Part) -> Region | None:
        """The region of a part; None where the template does not write it."""

        def follows(kind: str, index: int, field: str) -> bool:
            own = THOUGHTS if part.field in THOUGHTS else (part.field,)
            is_field = not part.field or field in own
            return kind == part.kind and index == part.index and is_field

        return self._region(follows)

    def writes_thought(self, index: int) -> bool:
        """Whether the reasoning of a message that came without would be in the text."""
        messages = list(self._prompt.messages)
        messages[index] = {**messages[index], THOUGHTS[0]: _PROBE}
        prompt = ChatPrompt(
            messages=tuple(messages), tools=self._prompt.tools, options=self._prompt.options
        )
        with suppress(RequestError):
            return _PROBE in chat_text(self._template, prompt)
        return False

    def ends_behind(self, start: int) -> bool:
        """Whether any part stands behind a character."""
        region = self._region(lambda *_: True)
        return region is not None and region[1] > start

    def at(self, token: int) -> tuple[Part | None, Part | None]:
        """The part that a token is of, or None; and the nearest one."""
        start, end = self.of_token(token)
        region = self._region(lambda kind, *_: kind == "tools")
        if region is not None and _meets(region, start, end):
            tool = self._first_behind("tools", len(self._prompt.tools), start)
            return tool, tool
        found = self._first_behind("messages", len(self._prompt.messages), start)
        if found is None or found.index is None:
            last = len(self._prompt.messages) - 1
            return None, Part("messages", last) if last >= 0 else None
        for field in self._prompt.messages[found.index]:
            part = Part("messages", found.index, field)
            region = self.of_part(part) if field != "role" else None
            if region is not None and _meets(region, start, end):
                return part, part
        return None, found

    def _first_behind(self, kind: str, count: int, start: int) -> Part | None:
        """The first part of a kind that ends behind a character; by halves, for they are many."""

        def reaches(num: int) -> bool:
            region = self._region(lambda own, index, _: own == kind and index < num)
            return region is not None and region[1] > start

        if not reaches(count):
            return None
        low, high = 0, count  # the first ``low`` do not reach it, the first ``high`` do
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if reaches(middle) else (middle, high)
        return Part(kind, high - 1)

    def _region(self, follows: Follows) -> Region | None:
        try:
            mask = mask_of(chat_text(self._template, self._prompt, follows=follows))
        except RequestError:  # it was rendered before: out of its time, say
            return None
        start, end = mask.find(1), mask.rfind(1) + 1
        return None if start < 0 else (start, end)

    def _num_chars(self, num_tokens: int) -> int:
        """Characters of the first tokens; of half a character, those before it."""
        if num_tokens >= len(self._token_ids):
            return len(self._text)
        decoded = self._tokenizer.decode_raw(self._token_ids[:num_tokens]).rstrip("\ufffd")
        return min(len(decoded), len(self._text))

    @cached_property
    def _text(self) -> str:
        with suppress(RequestError):
            return chat_text(self._template, self._prompt)
        return ""


def _meets(region: Region, start: int, end: int) -> bool:
    return region[0] < end and region[1] > start


def gap(region: Region, token: Region) -> int:
    """Characters between two regions; 0 where they meet."""
    return (
        max(0, region[0] - token[1] + 1, token[0] - region[1] + 1)
        if not _meets(region, *token)
        else 0
    )

"""Events as ``text_completion``, which has one shape for chunks and for whole answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import orjson

from serve.api.openai.encoders import OpenAIEncoder
from serve.api.openai.logprobs import text_logprobs
from serve.pipeline.answer import CollectedChoice
from serve.pipeline.events import Finished, TextDelta, TokenText


class TextEncoder(OpenAIEncoder):
    """``text_completion``, which has one shape for chunks and for whole answers."""

    id_prefix = "cmpl-"
    chunk_kind = "text_completion"
    whole_kind = "text_completion"
    tells_prompts_by_choice: ClassVar = True

    def _delta(self, event: TextDelta) -> bytes:
        logprobs = orjson.dumps(self._logprobs(event.logprobs)) if event.logprobs else b"null"
        return self._chunk(event.index, orjson.dumps(event.text), logprobs, b"null")

    def _finish(self, event: Finished) -> bytes:
        return self._chunk(event.index, b'""', b"null", b'"' + event.reason.encode() + b'"')

    def _chunk(self, index: int, text: bytes, logprobs: bytes, reason: bytes) -> bytes:
        return b'%b{"index":%d,"text":%b,"logprobs":%b,"finish_reason":%b%b}%b' % (
            self._head,
            index,
            text,
            logprobs,
            reason,
            self._choice_extras(index),
            self._end(),
        )

    def _text(self, choice: CollectedChoice) -> dict[str, Any]:
        return {"index": choice.index, "text": choice.text}

    def _logprobs(self, tokens: Sequence[TokenText]) -> dict[str, Any]:
        return text_logprobs(tokens, by_id=self._options.names_by_id)

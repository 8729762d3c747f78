"""Events as ``chat.completion`` and ``chat.completion.chunk``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from serve.api.dialect import Identity
from serve.api.openai.encoders import OpenAIEncoder
from serve.api.openai.logprobs import chat_logprobs
from serve.pipeline.answer import CollectedChoice
from serve.pipeline.events import Finished, TextDelta, TokenText


class ChatEncoder(OpenAIEncoder):
    """``chat.completion`` and ``chat.completion.chunk``.

    A choice's first chunk carries its role. It is sent together with the choice's first text, so
    that the time of the first chunk is the time of the first token.
    """

    id_prefix = "chatcmpl-"
    chunk_kind = "chat.completion.chunk"
    whole_kind = "chat.completion"

    def __init__(self, identity: Identity, *, has_usage_chunk: bool, has_logprobs: bool) -> None:
        super().__init__(identity, has_usage_chunk=has_usage_chunk, has_logprobs=has_logprobs)
        self._opened: set[int] = set()

    def _delta(self, event: TextDelta) -> bytes:
        delta = b'{"content":' + orjson.dumps(event.text) + b"}"
        logprobs = orjson.dumps(self._logprobs(event.logprobs)) if event.logprobs else b"null"
        return self._opening(event.index) + self._chunk(event.index, delta, logprobs, b"null")

    def _finish(self, event: Finished) -> bytes:
        reason = b'"' + event.reason.encode() + b'"'
        return self._opening(event.index) + self._chunk(event.index, b"{}", b"null", reason)

    def _opening(self, index: int) -> bytes:
        if index in self._opened:
            return b""
        self._opened.add(index)
        delta = b'{"role":"assistant","content":"","refusal":null}'
        return self._chunk(index, delta, b"null", b"null")

    def _chunk(self, index: int, delta: bytes, logprobs: bytes, reason: bytes) -> bytes:
        return b'%b{"index":%d,"delta":%b,"logprobs":%b,"finish_reason":%b}%b' % (
            self._head,
            index,
            delta,
            logprobs,
            reason,
            self._tail,
        )

    def _text(self, choice: CollectedChoice) -> dict[str, Any]:
        message = {"role": "assistant", "content": choice.text, "refusal": None}
        return {"index": choice.index, "message": message}

    def _logprobs(self, tokens: Sequence[TokenText]) -> dict[str, Any]:
        return chat_logprobs(tokens)

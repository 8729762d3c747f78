"""Events as ``chat.completion`` and ``chat.completion.chunk``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import orjson

from serve.api.dialect import Identity
from serve.api.openai.encoders import OpenAIEncoder
from serve.api.openai.logprobs import chat_logprobs
from serve.api.openai.token_view import NO_TOKENS, TokenOptions
from serve.pipeline.answer import CollectedCall, CollectedChoice
from serve.pipeline.events import Finished, TextDelta, TokenText, ToolCallDelta
from serve.timeline import FinishReason, Usage


class ChatEncoder(OpenAIEncoder):
    """``chat.completion`` and ``chat.completion.chunk``.

    A choice's first chunk carries its role. It is sent together with the choice's first text, so
    that the time of the first chunk is the time of the first token. Reasoning has both of its
    names, ``reasoning`` and ``reasoning_content``: clients read the one or the other.

    Args:
        has_functions: the tools came as ``functions``, so a call goes as ``function_call``.
    """

    id_prefix = "chatcmpl-"
    chunk_kind = "chat.completion.chunk"
    whole_kind = "chat.completion"
    channels: ClassVar = frozenset({"content", "reasoning", "refusal"})

    def __init__(
        self,
        identity: Identity,
        *,
        has_usage_chunk: bool,
        has_logprobs: bool,
        has_functions: bool = False,
        tokens: TokenOptions = NO_TOKENS,
    ) -> None:
        super().__init__(
            identity, has_usage_chunk=has_usage_chunk, has_logprobs=has_logprobs, tokens=tokens
        )
        self._has_functions = has_functions
        self._opened: set[int] = set()

    def _delta(self, event: TextDelta) -> bytes:
        text = orjson.dumps(event.text)
        if event.channel == "reasoning":
            delta = b'{"reasoning":' + text + b',"reasoning_content":' + text + b"}"
        elif event.channel == "refusal":
            delta = b'{"refusal":' + text + b"}"
        else:
            delta = b'{"content":' + text + b"}"
        logprobs = orjson.dumps(self._logprobs(event.logprobs)) if event.logprobs else b"null"
        return self._opening(event) + self._chunk(event.index, delta, logprobs, b"null")

    def _call(self, event: ToolCallDelta) -> bytes:
        """The chunks of more of a call: what it is, then its arguments, as OpenAI sends them."""
        chunks = [self._opening(event)]
        if event.call_id is not None or event.name is not None:
            head = {"name": event.name, "arguments": ""}
            chunks.append(self._call_chunk(event, {"id": event.call_id, "type": "function"}, head))
        if event.arguments:
            chunks.append(self._call_chunk(event, {}, {"arguments": event.arguments}))
        return b"".join(chunks)

    def _call_chunk(
        self, event: ToolCallDelta, facts: dict[str, Any], function: dict[str, Any]
    ) -> bytes:
        delta: dict[str, Any] = {"function_call": function}
        if not self._has_functions:
            delta = {"tool_calls": [{"index": event.call, **facts, "function": function}]}
        return self._chunk(event.index, orjson.dumps(delta), b"null", b"null")

    def _finish(self, event: Finished) -> bytes:
        reason = b'"' + self._reason(event.reason).encode() + b'"'
        return self._opening(event) + self._chunk(event.index, b"{}", b"null", reason)

    def _opening(self, event: TextDelta | ToolCallDelta | Finished) -> bytes:
        """The chunk of a choice's role, before its first other one.

        Those before it are opened, too: the official client's accumulator takes choices that begin
        in their order alone. Content is null where something else than content comes first, which
        may be all that comes.
        """
        if event.index in self._opened:
            return b""
        earlier = [index for index in range(event.index) if index not in self._opened]
        self._opened.update(earlier, (event.index,))
        is_text = isinstance(event, TextDelta) and event.channel == "content"
        content = b'""' if is_text or isinstance(event, Finished) else b"null"
        return b"".join(
            [
                *(self._role(index, b"null") for index in earlier),
                self._role(event.index, content),
            ]
        )

    def _role(self, index: int, content: bytes) -> bytes:
        delta = b'{"role":"assistant","content":' + content + b',"refusal":null}'
        return self._chunk(index, delta, b"null", b"null")

    def _chunk(self, index: int, delta: bytes, logprobs: bytes, reason: bytes) -> bytes:
        return b'%b{"index":%d,"delta":%b,"logprobs":%b,"finish_reason":%b%b}%b' % (
            self._head,
            index,
            delta,
            logprobs,
            reason,
            self._choice_extras(index),
            self._end(),
        )

    def _reason(self, reason: FinishReason) -> str:
        return "function_call" if self._has_functions and reason == "tool_calls" else reason

    def _message(self, choice: CollectedChoice) -> dict[str, Any]:
        calls, reasoning = choice.calls, choice.text_of("reasoning")
        refusal = choice.text_of("refusal") or None
        content = choice.text or (None if calls or reasoning or refusal else "")
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": refusal}
        if reasoning:
            message |= {"reasoning": reasoning, "reasoning_content": reasoning}
        if calls and self._has_functions:
            message["function_call"] = _function(calls[0])
        elif calls:
            message["tool_calls"] = [
                {"id": call.call_id, "type": "function", "function": _function(call)}
                for call in calls
            ]
        return message

    def _text(self, choice: CollectedChoice) -> dict[str, Any]:
        return {"index": choice.index, "message": self._message(choice)}

    def _logprobs(self, tokens: Sequence[TokenText]) -> dict[str, Any]:
        return chat_logprobs(tokens, by_id=self._options.names_by_id)

    def _usage(self, usage: Usage) -> dict[str, Any]:
        details = {"reasoning_tokens": usage.reasoning_tokens}
        return {**super()._usage(usage), "completion_tokens_details": details}


def _function(call: CollectedCall) -> dict[str, str]:
    return {"name": call.name, "arguments": call.arguments}

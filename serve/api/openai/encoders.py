"""Events as OpenAI's JSON: chunks of a stream, and whole answers.

What is the same in every chunk of an answer is encoded once; per token there is one ``dumps`` of
its text and one concatenation. The shapes are OpenAI's, field by field; the tests hold them against
the types of the official client.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import orjson

from serve.api.dialect import Identity
from serve.api.json_lists import JsonLists, in_pieces
from serve.api.openai.errors import problem
from serve.api.openai.token_view import NO_TOKENS, TokenOptions, TokenView
from serve.errors import InternalError, RequestError
from serve.pipeline.answer import Answer, CollectedChoice
from serve.pipeline.events import (
    CacheExplained,
    Channel,
    Event,
    Finished,
    PromptTokens,
    Queued,
    TextDelta,
    TokenIds,
    TokenText,
    ToolCallDelta,
)
from serve.timeline import FinishReason, Usage

DONE = b"data: [DONE]\n\n"


class OpenAIEncoder(ABC):
    """The parts that chat_encoder.py and text_encoder.py share (a serve.api.dialect.Encoder).

    Args:
        has_usage_chunk: whether a stream ends with a chunk of counts; all others say null then.
        has_logprobs: whether the client asked for them.
        tokens: what the client wants to know of tokens.
    """

    media_type = b"text/event-stream; charset=utf-8"
    id_prefix: str
    chunk_kind: str
    whole_kind: str
    channels: ClassVar[frozenset[Channel]] = frozenset({"content"})
    """Those that an answer has words for."""
    tells_prompts_by_choice: ClassVar[bool] = False
    """Whether each choice tells of its prompt; else the answer does, for there is one."""

    def __init__(
        self,
        identity: Identity,
        *,
        has_usage_chunk: bool,
        has_logprobs: bool,
        tokens: TokenOptions = NO_TOKENS,
    ) -> None:
        # The answer's id is the request's, so that either finds the other.
        self._identity = identity
        self._has_usage_chunk = has_usage_chunk
        self._has_logprobs = has_logprobs
        self._answer = Answer()
        self._lists: dict[int, JsonLists] = {}
        self._options = tokens
        self._tokens = TokenView(tokens)
        self._cache: list[CacheExplained] = []  # for who asked
        self._prompt = b""  # what is told of it, until the next end of a chunk
        head = orjson.dumps(self._fields(self.chunk_kind))
        self._head = b"data: " + head[:-1] + b',"choices":['
        self._tail = b'],"usage":null}\n\n' if has_usage_chunk else b"]}\n\n"

    def waiting(self, queued: Queued) -> bytes:
        """A comment, which clients of server-sent events pass over (WHATWG HTML, section 9.2.6)."""
        wait_s = queued.expected_wait_s
        told = "unknown" if wait_s is None else f"{wait_s:.1f}"
        return b": queued position=%d expected_wait_s=%b\n\n" % (queued.position, told.encode())

    def open(self) -> bytes:
        """Nothing: a choice's first chunk opens it."""
        return b""

    def event(self, event: Event) -> bytes:
        """The chunks of an event."""
        if isinstance(event, TextDelta) and event.channel in self.channels:
            return self._delta(event)
        if isinstance(event, ToolCallDelta):
            return self._call(event)
        if isinstance(event, Finished):
            return self._finish(event)
        if isinstance(event, PromptTokens | TokenIds):
            self._tokens.take(event)
            return b""
        if isinstance(event, CacheExplained):
            self._cache.append(event)
            return b""
        raise InternalError(f"This answer has no words for {type(event).__name__}.")

    def error(self, error: RequestError) -> bytes:
        """An error that comes too late for a status, and the end."""
        return b"data: " + problem(error) + b"\n\n" + DONE

    def close(self, usage: Usage) -> bytes:
        """The end; before it, where it was asked for, a chunk of counts and no choices.

        What is said of the prefix cache stands in that chunk, and is one of its reasons.
        """
        if not self._has_usage_chunk and not self._cache:
            return DONE
        counts = orjson.dumps(self._usage(usage))
        return b"%b%b%b%b}\n\n%b" % (self._head, b'],"usage":', counts, self._explained(), DONE)

    def add(self, event: Event) -> None:
        """Take an event of a whole answer. Log-probabilities are kept as JSON, a tenth of them.

        Raises:
            RequestError: the choice failed; it is the error that ended it.
        """
        if isinstance(event, TextDelta) and event.channel not in self.channels:
            raise InternalError(f"This answer has no words for a {event.channel}.")
        if isinstance(event, TextDelta) and event.logprobs:
            self._lists_of(event.index).add(self._logprobs(event.logprobs))
            event = replace(event, logprobs=())
        if isinstance(event, PromptTokens | TokenIds):
            self._tokens.take(event)
        elif isinstance(event, CacheExplained):
            self._cache.append(event)
        else:
            self._answer.add(event)

    def whole(self, usage: Usage) -> Iterator[bytes]:
        """The whole answer, in pieces of PIECE_BYTES."""
        return in_pieces(self._whole(usage))

    def _whole(self, usage: Usage) -> Iterator[bytes]:
        yield orjson.dumps(self._fields(self.whole_kind))[:-1] + b',"choices":['
        for number, choice in enumerate(self._answer.choices):
            comma = b"," if number else b""
            yield comma + orjson.dumps(self._text(choice))[:-1] + b',"logprobs":'
            if self._has_logprobs:
                yield from self._lists_of(choice.index).pieces()
            else:
                yield b"null"
            yield b',"finish_reason":' + orjson.dumps(self._reason(choice.reason))
            yield self._choice_extras(choice.index) + b"}"
        yield b'],"usage":' + orjson.dumps(self._usage(usage)) + self._prompt
        yield self._explained() + b"}"

    def _explained(self) -> bytes:
        """The prompts' fate in the prefix cache, as a field with a comma before."""
        if not self._cache:
            return b""
        return b',"prefix_cache":' + orjson.dumps(self._cache)

    def _lists_of(self, index: int) -> JsonLists:
        lists = self._lists.get(index)
        if lists is None:
            lists = self._lists[index] = JsonLists(self._logprobs(()))
        return lists

    def _fields(self, kind: str) -> dict[str, Any]:
        identity = self._identity
        return {
            "id": self.id_prefix + identity.request_id.removeprefix("req-"),
            "object": kind,
            "created": identity.created,
            "model": identity.model,
            "system_fingerprint": identity.fingerprint,
        }

    def _end(self) -> bytes:
        """The end of a chunk, behind its choices: what is told of a prompt, and usage."""
        prompt, self._prompt = self._prompt, b""
        if self._options.counts:
            usage = self._tokens.usage
            counts = {
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
                "total_tokens": usage.total_tokens,
            }
            return b"]" + prompt + b',"usage":' + orjson.dumps(counts) + b"}\n\n"
        return b"]" + prompt + self._tail[1:] if prompt else self._tail

    def _choice_extras(self, index: int) -> bytes:
        """More fields of a choice, each with a comma before it."""
        ids = self._tokens.ids_of(index)
        if self.tells_prompts_by_choice:
            return ids + self._tokens.prompt_of(index)
        if index == 0:
            self._prompt += self._tokens.prompt_of(index)
        return ids

    def _reason(self, reason: FinishReason) -> str:
        """The word for a choice's end."""
        return reason

    def _usage(self, usage: Usage) -> dict[str, Any]:
        """The counts of tokens."""
        return {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        }

    def _call(self, _event: ToolCallDelta) -> bytes:
        """The chunks of more of a tool call. Raises InternalError where there can be none."""
        raise InternalError("This answer has no words for tool calls.")

    @abstractmethod
    def _delta(self, event: TextDelta) -> bytes:
        """The chunks of more text."""

    @abstractmethod
    def _finish(self, event: Finished) -> bytes:
        """The chunks of a choice's end."""

    @abstractmethod
    def _text(self, choice: CollectedChoice) -> dict[str, Any]:
        """The index and text of one choice of a whole answer."""

    @abstractmethod
    def _logprobs(self, tokens: Sequence[TokenText]) -> dict[str, Any]:
        """Log-probabilities of tokens of a choice, in order."""

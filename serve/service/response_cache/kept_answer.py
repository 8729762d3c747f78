"""A whole answer as bytes: its events, chunk by chunk, with usage and the time when it was made.

JSON, as short as it goes: an event is a list that begins with the letter of its kind, and the texts
of neighbouring deltas share one. What is read again is equal to what was written, also
log-probabilities that are infinite, for which JSON has no number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from serve.pipeline.events import (
    CacheExplained,
    Event,
    Finished,
    PromptTokens,
    Queued,
    Started,
    TextDelta,
    TokenIds,
    TokenText,
    ToolCallDelta,
)
from serve.timeline import FinishReason, Usage

FORM: Final = 1
"""Of what is written here: answers of another form are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """An answer that came to its end.

    Attributes:
        made_at: Unix seconds.
        usage: of the request as it was answered first.
        finish_reason: of the request's timeline.
        events: those after ``Started``, all choices finished.
        verdicts: of the request's record: what rules have decided of its answer.
    """

    made_at: float
    usage: Usage
    finish_reason: FinishReason | None
    events: Sequence[Event]
    verdicts: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """The answer as ``read`` reads it. Raises ValueError where a text is no Unicode."""
        whole = {
            "form": FORM,
            "at": self.made_at,
            "usage": _counts(self.usage),
            "reason": self.finish_reason,
            "verdicts": self.verdicts,
            "events": list(_written(self.events)),
        }
        try:
            return orjson.dumps(whole)
        except TypeError as error:  # orjson's kind of it, for half a surrogate pair
            raise ValueError(str(error)) from None


def read(raw: bytes) -> KeptAnswer:
    """The answer of these bytes.

    Raises:
        ValueError: they are no answer of this form.
    """
    try:
        whole = orjson.loads(raw)
        if whole["form"] != FORM:
            raise ValueError("it is of another form")
        return KeptAnswer(
            made_at=whole["at"],
            usage=_usage(whole["usage"]),
            finish_reason=whole["reason"],
            verdicts=tuple(whole["verdicts"]),
            events=tuple(event for one in whole["events"] for event in _KINDS[one[0]](*one[1:])),
        )
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"it is no answer: {type(error).__name__}") from None


def _written(events: Sequence[Event]) -> Iterator[list[Any]]:
    run: list[Any] | None = None
    for event in events:
        if isinstance(event, TextDelta) and not event.logprobs:
            if run is not None and run[1:3] == [event.index, event.channel]:
                run[3].append(event.text)
                continue
            if run is not None:
                yield run
            run = ["t", event.index, event.channel, [event.text]]
            continue
        if run is not None:
            yield run
            run = None
        yield _other(event)
    if run is not None:
        yield run


def _other(event: Event) -> list[Any]:
    """An event by itself. Raises ValueError for what is no part of a kept answer."""
    match event:
        case TextDelta():
            return ["l", event.index, event.channel, event.text, _listed(event.logprobs)]
        case ToolCallDelta():
            return ["c", event.index, event.call, event.call_id, event.name, event.arguments]
        case TokenIds():
            return ["i", event.index, event.token_ids]
        case PromptTokens():
            logprobs = None if event.logprobs is None else _listed(event.logprobs)
            return ["p", event.prompt, event.token_ids, logprobs]
        case Finished(error=None):
            return ["f", event.index, event.reason, _counts(event.usage)]
        case Finished() | Started() | Queued() | CacheExplained():
            raise ValueError(f"{type(event).__name__} is no part of a kept answer")


def _listed(tokens: Sequence[TokenText]) -> list[Any]:
    return [
        [
            token.text,
            token.raw.decode("latin-1"),
            _told(token.logprob),
            _listed(token.top),
            token.token_id,
            token.offset,
            token.rank,
        ]
        for token in tokens
    ]


def _tokens(listed: Sequence[Any]) -> tuple[TokenText, ...]:
    return tuple(
        TokenText(
            text=text,
            raw=raw.encode("latin-1"),
            logprob=None if logprob is None else float(logprob),
            top=_tokens(top),
            token_id=token_id,
            offset=offset,
            rank=rank,
        )
        for text, raw, logprob, top, token_id, offset, rank in listed
    )


def _told(number: float | None) -> float | str | None:
    return number if number is None or math.isfinite(number) else str(number)


def _counts(usage: Usage) -> list[int]:
    return [
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.cached_tokens,
        usage.reasoning_tokens,
    ]


def _usage(counts: Sequence[int]) -> Usage:
    prompt, completion, cached, reasoning = counts
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        reasoning_tokens=reasoning,
    )


def _read_texts(index: int, channel: Any, texts: Sequence[str]) -> Iterator[Event]:
    for text in texts:
        yield TextDelta(index=index, text=text, channel=channel)


def _read_logprobs(index: int, channel: Any, text: str, listed: Any) -> Iterator[Event]:
    yield TextDelta(index=index, text=text, channel=channel, logprobs=_tokens(listed))


def _read_call(
    index: int, call: int, call_id: str | None, name: str | None, arguments: str
) -> Iterator[Event]:
    yield ToolCallDelta(index=index, call=call, call_id=call_id, name=name, arguments=arguments)


def _read_ids(index: int, token_ids: Sequence[int]) -> Iterator[Event]:
    yield TokenIds(index=index, token_ids=tuple(token_ids))


def _read_prompt(prompt: int, token_ids: Sequence[int], listed: Any) -> Iterator[Event]:
    logprobs = None if listed is None else _tokens(listed)
    yield PromptTokens(prompt=prompt, token_ids=tuple(token_ids), logprobs=logprobs)


def _read_finished(index: int, reason: FinishReason, counts: Sequence[int]) -> Iterator[Event]:
    yield Finished(index=index, reason=reason, usage=_usage(counts))


_KINDS: Final[Mapping[str, Callable[..., Iterator[Event]]]] = {
    "t": _read_texts,
    "l": _read_logprobs,
    "c": _read_call,
    "i": _read_ids,
    "p": _read_prompt,
    "f": _read_finished,
}

"""The stage that tells reasoning, content and tool calls apart, by a model's dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from serve.pipeline.events import ChoiceEvent, Finished, TextDelta
from serve.pipeline.model_dialects.call_reading import Tools
from serve.pipeline.model_dialects.dialect import ModelDialect
from serve.pipeline.model_dialects.harmony import MARKUP, HarmonyReading
from serve.pipeline.model_dialects.plain import PlainReading
from serve.pipeline.model_dialects.reading import Reader
from serve.pipeline.model_dialects.telling import NewId, Telling, new_call_id


class AnswerParser:
    """Splits a choice's content into channels and calls (a Stage).

    Args:
        index: of the choice.
        dialect: of the model; its literals hold marks for special tokens (marks.py).
        tools: schemas of the arguments of what may be called; None where nothing may be.
        is_parallel: whether more than one call may come; after the first the choice ends if not.
        is_thinking: whether the prompt has opened the reasoning already.
        shows_reasoning: whether it is told.
        marks: what stands for special tokens in the text, by their names.
        new_id: makes the ids of calls.
    """

    def __init__(
        self,
        *,
        index: int,
        dialect: ModelDialect,
        tools: Tools | None = None,
        is_parallel: bool = True,
        is_thinking: bool = False,
        shows_reasoning: bool = True,
        marks: Mapping[str, str] | None = None,
        new_id: NewId = new_call_id,
    ) -> None:
        marks = marks or {}
        self._index = index
        self._reader = Reader()
        self._telling = Telling(
            index=index,
            shows_reasoning=shows_reasoning,
            marks="".join(marks.values()),
            new_id=new_id,
        )
        self._read: HarmonyReading | PlainReading
        if dialect.frame == "harmony":
            self._read = HarmonyReading(
                self._reader,
                self._telling,
                {name: marks.get(name, name) for name in MARKUP},
                has_tools=tools is not None,
                is_parallel=is_parallel,
            )
        else:
            self._read = PlainReading(
                self._reader,
                self._telling,
                dialect,
                tools=tools,
                is_parallel=is_parallel,
                is_thinking=is_thinking,
            )
        self._reading = self._read.read()

    @property
    def is_reasoning(self) -> bool:
        """Whether the next token is one of the reasoning's."""
        return self._telling.is_reasoning

    def feed(self, events: Sequence[ChoiceEvent]) -> Sequence[ChoiceEvent]:
        """See Stage.feed."""
        passed: list[ChoiceEvent] = []
        telling = self._telling
        for event in events:
            if isinstance(event, TextDelta) and event.channel == "content":
                telling.logprobs += event.logprobs
                self._reader.add(event.text)
                passed += self._go_on()
                if self._read.has_ended():
                    end = Finished(index=self._index, reason="tool_calls")
                    return [*passed, *telling.rest(), end]
            elif isinstance(event, Finished):
                self._reader.is_over = True
                self._reader.is_short = event.reason == "length"
                passed += self._go_on()
                passed += telling.rest()
                has_called = telling.num_calls > 0 and not self._read.is_cut()
                has_called = has_called and event.reason == "stop"
                passed.append(replace(event, reason="tool_calls") if has_called else event)
            else:
                passed.append(event)
        return passed

    def _go_on(self) -> list[ChoiceEvent]:
        """Read as far as the text goes. Returns what was told."""
        next(self._reading, None)
        return self._telling.taken()

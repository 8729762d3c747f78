"""Whether the next turn's prompt begins with this one and its answer, by a model's template.

A prefix cache reuses what a prompt has in common with an earlier one from the first token on, so a
template that writes an earlier turn anew costs that turn, and all behind it, with each question.
Some do: Qwen3 leaves out the reasoning of earlier turns, others move the tools to the last question
or write the date. Small conversations tell::

    prompt k     system · question │                     what the server sends
    answer k                       │ reasoning · answer · end of turn
    prompt k+1   system · question · reasoning · answer · end of turn · question │

Compared are token ids: those of prompt k, then those of the answer as the model writes it, which
is what the template makes of it while it is the last turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any, Final, Literal

from serve.errors import RequestError
from serve.pipeline.chat_text import chat_text
from serve.pipeline.events import ChatPrompt
from serve.pipeline.message_forms import THOUGHTS
from serve.pipeline.model_dialects.dialect import ModelDialect, ReasoningSyntax
from serve.pipeline.template import ChatTemplate
from serve.pipeline.template_environment import noting_times
from serve.pipeline.tokenizer import ModelTokenizer

Kind = Literal["chat", "tools", "reasoning"]

_SYSTEM, _QUESTION, _ANSWER, _NEXT = "Be brief and kind.", "Where is it?", "It is here.", "And now?"
_THOUGHT, _RESULT, _PATH = "They want to know where.", "4 files are here.", "state/log"
_TOOL: Final[Mapping[str, Any]] = {
    "type": "function",
    "function": {
        "name": "list_files",
        "description": "Lists the files.",
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
    },
}
_CALL: Final[Mapping[str, Any]] = {
    "id": "call00001",
    "type": "function",
    "function": {"name": "list_files", "arguments": f'{{"path": "{_PATH}"}}'},
}
_SHOWN_CHARS: Final = 24

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AppendOnly:
    """The kinds of conversation that a template renders, each with what breaks it.

    Attributes:
        reasons: None where the next prompt begins with this one; else which part changes.
        times: formats of the times that the template writes of its own accord.
    """

    reasons: Mapping[Kind, str | None] = field(default_factory=dict)
    times: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing breaks it, but for the time."""
        return not any(self.reasons.values())

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "is_whole": self.is_whole,
            "reasons": dict(self.reasons),
            "times": list(self.times),
        }

    @property
    def line(self) -> str:
        """The same for people, in one line."""
        kept = [kind for kind, reason in self.reasons.items() if reason is None]
        parts = []
        if kept:
            parts.append("yes" if self.is_whole else f"{' and '.join(kept)} yes")
        broken: dict[str, list[str]] = {}
        for kind, reason in self.reasons.items():
            if reason is not None:
                broken.setdefault(reason, []).append(kind)
        parts += [f"{' and '.join(kinds)} no: {reason}" for reason, kinds in broken.items()]
        if self.times:
            parts.append(f"the template writes the time ({', '.join(self.times)})")
        return "; ".join(parts)


def append_only(
    template: ChatTemplate,
    tokenizer: ModelTokenizer,
    dialect: ModelDialect,
    options: Mapping[str, Any] | None = None,
) -> AppendOnly:
    """The verdict on a template. Takes some renderings.

    Args:
        options: variables for the template, as a request has them.
    """
    probe = _Probe(template, tokenizer, dialect.reasoning, options or {})
    with noting_times() as times:
        reasons = dict(probe.reasons())
    return AppendOnly(reasons, tuple(dict.fromkeys(times)))


@dataclass(frozen=True, slots=True)
class _Probe:
    template: ChatTemplate
    tokenizer: ModelTokenizer
    reasoning: ReasoningSyntax | None
    options: Mapping[str, Any]

    def reasons(self) -> Iterator[tuple[Kind, str | None]]:
        """Each kind that the template renders at all."""
        answer = {"role": "assistant", "content": _ANSWER}
        call = {"role": "assistant", "content": None, "tool_calls": [_CALL]}
        result = {"role": "tool", "tool_call_id": "call00001", "name": "list_files"}
        result["content"] = _RESULT
        asked, again = _user(_QUESTION), _user(_NEXT)
        chat, called = self._prompt(asked), self._prompt(asked, tools=(_TOOL,))
        told = self._prompt(asked, call, result, tools=(_TOOL,))
        thinks = self._opens_thought(chat)
        kinds: list[tuple[Kind, list[tuple[ChatPrompt, Message, Message]]]] = [
            ("chat", [(chat, answer, again)]),
        ]
        if self.template.has_tools:
            kinds.append(("tools", [(called, call, result), (told, answer, again)]))
        if self.reasoning is not None and thinks:
            kinds = [(kind, [(p, _thinking(a), m) for p, a, m in steps]) for kind, steps in kinds]
        elif self.reasoning is not None and not _forbids_thought(self.options):
            kinds.append(("reasoning", [(chat, _thinking(answer), again)]))
        for kind, steps in kinds:
            with suppress(RequestError):
                found = [self._reason(*step) for step in steps]
                yield kind, next((reason for reason in found if reason is not None), None)

    def _prompt(self, *messages: Message, tools: tuple[Message, ...] = ()) -> ChatPrompt:
        """With a system prompt, where the template takes one."""
        prompt = ChatPrompt(messages=messages, tools=tools, options=self.options)
        whole = replace(prompt, messages=({"role": "system", "content": _SYSTEM}, *messages))
        with suppress(RequestError):
            chat_text(self.template, whole)
            return whole
        return prompt

    def _opens_thought(self, prompt: ChatPrompt) -> bool:
        """Whether the prompt itself begins the reasoning, so that each answer has some."""
        with suppress(RequestError):
            text = str.__str__(chat_text(self.template, prompt)).rstrip()
            return self.reasoning is not None and text.endswith(self.reasoning.open.strip())
        return False

    def _reason(self, prompt: ChatPrompt, answer: Message, more: Message) -> str | None:
        """The reason that breaks one step; None for none. Raises as ``chat_text`` does."""
        text = chat_text(self.template, prompt)
        said = replace(prompt, messages=(*prompt.messages, answer))
        whole = self._with_thought(
            text, chat_text(self.template, replace(said, opens_answer=False)), answer
        ).rstrip()
        later = chat_text(self.template, replace(said, messages=(*said.messages, more)))
        if not later.startswith(str.__str__(whole)) or not whole.startswith(str.__str__(text)):
            return _difference(*(str.__str__(each) for each in (text, whole, later)))
        encode = self.tokenizer.encode_rendered
        ids = encode(text) + encode(whole[len(text) :])
        if encode(later)[: len(ids)] != ids:
            return "the answer's first or last token is another one in the history"
        return None

    def _with_thought(self, text: str, whole: str, answer: Message) -> str:
        """A turn with its reasoning, as the model writes it, where the template has left it out."""
        if self.reasoning is None or THOUGHTS[0] not in answer or _THOUGHT in whole:
            return whole
        start, plain = len(text), str.__str__(text)
        if not whole.startswith(plain):
            start = _num_shared(plain, str.__str__(whole))
        opening = (
            "" if plain.rstrip().endswith(self.reasoning.open.strip()) else self.reasoning.open
        )
        return text + opening + _THOUGHT + self.reasoning.close + whole[start:]


def _difference(text: str, whole: str, later: str) -> str:
    """Which part of a prompt and its answer is another one in the next prompt."""
    if _THOUGHT in whole and _THOUGHT not in later:
        return "the reasoning of earlier turns is left out"
    at = _num_shared(whole if whole.startswith(text) else text, later)
    for mark, name in (("list_files", "tools stand"), (_SYSTEM, "system prompt stands")):
        if mark in text and text.find(mark) != later.find(mark) and later.find(mark) >= at:
            return f"the {name} before the last question"
    head = text.rfind(_QUESTION if _RESULT not in text else _RESULT)
    if not later.startswith(text):
        if at > head:
            return f"what opens the answer ({_shown(text, at)}) is not in the history"
        return f"an earlier turn is written anew: {_shown(text, at)} becomes {_shown(later, at)}"
    return f"the answer is written anew: {_shown(whole, at)} becomes {_shown(later, at)}"


def _forbids_thought(options: Mapping[str, Any]) -> bool:
    return any(options.get(name) is False for name in ("enable_thinking", "thinking"))


def _num_shared(left: str, right: str) -> int:
    """Characters that two texts begin with."""
    pairs = zip(left, right, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _shown(text: str, at: int) -> str:
    return repr(text[at : at + _SHOWN_CHARS]) if at < len(text) else "its end"


def _user(content: str) -> Message:
    return {"role": "user", "content": content}


def _thinking(answer: Message) -> Message:
    return {**answer, THOUGHTS[0]: _THOUGHT}

"""Conversations with the simulated cache, and the true place where two prompts part."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from serve import timeline
from serve.engine.protocol import SamplingParams
from serve.engine.settings import EngineSettings, FakeSettings
from serve.pipeline.admission import Admission
from serve.pipeline.answer import Answer, CollectedChoice
from serve.pipeline.events import (
    CacheExplained,
    CallableTool,
    ChatPrompt,
    GenerateRequest,
    Prompt,
    ReasoningUse,
    ToolUse,
)
from serve.pipeline.generate import Pipeline
from serve.pipeline.render import Renderer
from serve.pipeline.template import ChatTemplate
from serve.timeline import Timeline
from tests.serve.pipeline.forms.answers import tokenizer_of
from tests.serve.pipeline.forms.catalogue import FORMS
from tests.serve.pipeline.forms.form import Form
from tests.serve.pipeline.forms.fourth_forms import FOURTH_FORMS
from tests.serve.pipeline.forms.later_forms import LATER_FORMS
from tests.serve.pipeline.forms.latest_forms import LATEST_FORMS
from tests.serve.pipeline.forms.third_forms import THIRD_FORMS
from tests.serve.pipeline.model_dialects.examining import dialect_of
from tests.serve.pipeline.prefix.simulated_cache import CachingEngine

Message = dict[str, Any]
EVERY_FORM = [*FORMS, *LATER_FORMS, *LATEST_FORMS, *THIRD_FORMS, *FOURTH_FORMS]


@functools.cache
def form_of(name: str) -> Form:
    return next(form for form in FORMS if form.name == name)


@dataclass(slots=True)
class Session:
    """One server with one model.

    Attributes:
        said: what the model answers, as it writes it.
    """

    form: Form = field(default_factory=lambda: form_of("qwen2_5"))
    said: str = "It is in the state directory, I have looked it up."
    source: str = ""
    block_size: int = 16
    capacity: int = 4096
    engine: CachingEngine = field(init=False)
    pipeline: Pipeline = field(init=False)
    ids: list[list[int]] = field(init=False, default_factory=list)
    """Of each request's prompt and answer, as far as they were computed."""
    prompt_ids: list[int] = field(init=False, default_factory=list)
    """Of the last request."""

    def __post_init__(self) -> None:
        tokenizer = tokenizer_of(self.form)
        end = tokenizer.added_ids[self.form.ends[0].strip()]
        script = (*tokenizer.encode_rendered(self.said), end)
        self.engine = CachingEngine(
            EngineSettings(
                max_model_len=16384,
                max_num_seqs=8,
                fake=FakeSettings(
                    vocab_size=tokenizer.vocab_size,
                    eos_token_ids=frozenset({end}),
                    script=script,
                ),
            ),
            block_size=self.block_size,
            capacity=self.capacity,
        )
        template = ChatTemplate(self.source or self.form.source, self.form.special_tokens)
        self.pipeline = Pipeline(
            engine=self.engine,
            renderer=Renderer(tokenizer, template),
            admission=Admission(max_running=8, max_waiting=8),
            dialect=dialect_of(self.form),
        )

    async def ask(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] = (),
        *,
        options: Mapping[str, Any] | None = None,
        **given: Any,
    ) -> tuple[CacheExplained, CollectedChoice]:
        """The explanation, and the answer."""
        prompt = ChatPrompt(messages=tuple(messages), tools=tuple(tools), options=options or {})
        if tools:
            names = [tool["function"]["name"] for tool in tools]
            given["tool_use"] = ToolUse(tools=tuple(CallableTool(name=name) for name in names))
        explained, answer, _ = await self.run(prompt, **given)
        return explained[0], answer.choices[0]

    async def run(
        self, *prompts: Prompt, tenant: str = "one", **given: Any
    ) -> tuple[list[CacheExplained], Answer, Timeline]:
        record = Timeline(arrived_at=timeline.now())
        sampling = {"max_tokens": 200, "temperature": 0.0, **given.pop("sampling", {})}
        request = GenerateRequest(
            request_id="req-1",
            tenant=tenant,
            prompts=prompts,
            sampling=SamplingParams(**sampling),
            wants_token_ids=True,
            timeline=record,
            **{"reasoning": ReasoningUse(), "explains_cache": True, **given},
        )
        explained, answer = [], Answer()
        async with aclosing(self.pipeline.generate(request)) as events:
            async for event in events:
                answer.add(event)
                if isinstance(event, CacheExplained):
                    explained.append(event)
        for choice in answer.choices:
            self.prompt_ids = [*answer.prompts[choice.index // request.n].token_ids]
            self.ids.append([*self.prompt_ids, *choice.token_ids[:-1]])
        return explained, answer, record

    @property
    def parted_at(self) -> int:
        """Tokens that the last prompt has in common with the nearest request before it."""
        *before, _ = self.ids
        return max((shared(self.prompt_ids, other) for other in before), default=0)


def shared(left: Sequence[int], right: Sequence[int]) -> int:
    """The number of tokens that two begin with."""
    pairs = zip(left, right, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


LONG = "The audit log of the server is in the state directory, and nowhere else on the disk. "
OTHER = "Nobody has ever asked for anything of this kind before, neither here nor elsewhere. "
CALL = '<tool_call>\n{"name": "read", "arguments": {"path": "state/audit.log"}}\n</tool_call>'


def tool(name: str, description: str = "Looks something up in the audit log.") -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"path": {"type": "string"}}}
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


def user(content: str) -> Message:
    return {"role": "user", "content": content}


def system(content: str) -> Message:
    return {"role": "system", "content": content}


def result(content: str, call_id: str = "call_1") -> Message:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def said(choice: CollectedChoice) -> Message:
    """An answer as a client sends it back."""
    message: Message = {"role": "assistant", "content": choice.text}
    if choice.calls:
        message["tool_calls"] = [
            {
                "id": call.call_id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in choice.calls
        ]
    if choice.text_of("reasoning"):
        message["reasoning_content"] = choice.text_of("reasoning")
    return message


AGENT = system("You are an agent that keeps the audit log. " + 3 * LONG)


@dataclass
class Talk:
    """A conversation of a question, a call, its result, an answer, and the next question."""

    messages: list[Message] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(
        default_factory=lambda: [tool("read"), tool("write"), tool("list")]
    )


async def talked(session: Session, *, with_tools: bool = True) -> Talk:
    """Two turns that the server has seen, and a third question that it has not."""
    talk = Talk([deepcopy(AGENT), user("Where is the audit log? " + LONG)])
    if not with_tools:
        talk.tools = []
    for more in (
        [result("It is 4 MB large, and was written to a minute ago. " + LONG)],
        [user("And when was it rotated? " + LONG)],
    ):
        explained, choice = await session.ask(talk.messages, talk.tools)
        assert explained.cause in {"never_seen", "hit"}
        talk.messages += [said(choice), *more]
    return talk

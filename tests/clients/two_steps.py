"""A plain loop over the official client: a question, two rounds of tools, an answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import openai

QUESTION = "What is the weather in the city where Ann lives?"
HOMES = {"ann": "Paris", "bob": "Rome"}
MAX_TOKENS = 96


def city_of(person: str) -> str:
    """The city where a person lives."""
    return HOMES.get(person.lower(), "Oslo")


def weather_in(city: str) -> str:
    """The weather in a city right now."""
    return f"17 degrees and sunny in {city}"


FUNCTIONS: dict[str, Callable[..., str]] = {"city_of": city_of, "weather_in": weather_in}


def tool(name: str, argument: str) -> dict[str, Any]:
    """A function with one argument, as OpenAI's API describes it."""
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": FUNCTIONS[name].__doc__,
            "parameters": {
                "type": "object",
                "properties": {argument: {"type": "string"}},
                "required": [argument],
                "additionalProperties": False,
            },
        },
    }


TOOLS = [tool("city_of", "person"), tool("weather_in", "city")]


@dataclass
class Conversation:
    """What was said.

    Attributes:
        messages: the whole history, as it is sent.
        calls: (name, arguments) of each step.
        num_auto: steps in which the model called by itself.
        prompt_tokens: of each request that was answered by calls or by the end.
    """

    client: openai.OpenAI
    model: str
    is_streamed: bool
    messages: list[dict[str, Any]] = field(
        default_factory=lambda: [{"role": "user", "content": QUESTION}]
    )
    calls: list[list[tuple[str, dict[str, Any]]]] = field(default_factory=list)
    num_auto: int = 0
    prompt_tokens: list[int] = field(default_factory=list)

    def run(self) -> str:
        """Two steps, in each of which the model is made to call where it does not, and the end.

        Returns:
            The text of the answer.
        """
        for _ in range(2):
            message, reason, tokens = self._ask("auto")
            if message.get("tool_calls"):
                self.num_auto += 1
            else:
                message, reason, tokens = self._ask("required")
            assert reason == "tool_calls"
            self._call(message)
            self.prompt_tokens.append(tokens)
        message, reason, tokens = self._ask("none")
        assert reason in {"stop", "length"}
        assert not message.get("tool_calls")
        self.prompt_tokens.append(tokens)
        return str(message["content"])

    def _call(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        step = []
        for call in message["tool_calls"]:
            function = call["function"]
            arguments = json.loads(function["arguments"])
            result = FUNCTIONS[function["name"]](**arguments)
            self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
            step.append((function["name"], arguments))
        assert len({call["id"] for call in message["tool_calls"]}) == len(step)
        self.calls.append(step)

    def _ask(self, choice: str) -> tuple[dict[str, Any], str, int]:
        asked: dict[str, Any] = {"model": self.model, "messages": self.messages, "tools": TOOLS}
        asked |= {"tool_choice": choice, "temperature": 0, "max_tokens": MAX_TOKENS}
        asked["parallel_tool_calls"] = False  # a small model repeats its call for ever
        if self.is_streamed:
            options = {"include_usage": True}
            return gathered(
                self.client.chat.completions.create(**asked, stream=True, stream_options=options)
            )
        answer = self.client.chat.completions.create(**asked)
        (choice_,) = answer.choices
        assert answer.usage
        message = choice_.message.model_dump()
        return message, str(choice_.finish_reason), answer.usage.prompt_tokens


def gathered(stream: Iterable[Any]) -> tuple[dict[str, Any], str, int]:
    """The message that a stream says in pieces, why it ended, and the prompt's tokens."""
    content, reason, tokens = "", "", 0
    calls: list[dict[str, Any]] = []
    for chunk in stream:
        if chunk.usage:
            tokens = chunk.usage.prompt_tokens
        for choice in chunk.choices:
            reason = choice.finish_reason or reason
            content += choice.delta.content or ""
            for delta in choice.delta.tool_calls or ():
                if delta.index == len(calls):
                    function = {"name": delta.function.name, "arguments": ""}
                    calls.append({"id": delta.id, "type": "function", "function": function})
                calls[delta.index]["function"]["arguments"] += delta.function.arguments or ""
    message: dict[str, Any] = {"role": "assistant", "content": content or None}
    return (message | {"tool_calls": calls} if calls else message), reason, tokens

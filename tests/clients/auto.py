"""How often a model calls a tool by itself, where the question asks for one.

python -m tests.clients.auto URL MODEL
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import openai

TOOLS = {
    "get_weather": ("The weather in a city right now.", "city"),
    "get_time": ("The time of day in a city.", "city"),
    "translate": ("A translation of a text into German.", "text"),
    "find_user": ("The record of a user, by the user's name.", "name"),
    "calculate": ("The value of an arithmetic expression.", "expression"),
}
"""Each function's description, and its one argument."""
CITIES = ("Paris", "Rome", "Oslo", "Tokyo", "Lima", "Cairo", "Bern", "Delhi")
QUESTIONS = (
    *((f"What is the weather in {city}?", "get_weather") for city in CITIES),
    *((f"What time is it in {city} right now?", "get_time") for city in CITIES),
    *(
        (f"Translate into German: {text}", "translate")
        for text in ("good morning", "the cat sleeps", "I am hungry", "where is the station?")
    ),
    *((f"Look up the user {name}.", "find_user") for name in ("Ann", "Bob", "Carol", "Dave")),
    *(
        (f"Calculate {expression} with the tool.", "calculate")
        for expression in ("17 * 23", "1234 + 8766", "99 / 11", "2 ** 10", "7 * 8 - 3", "81 - 27")
    ),
    *(
        (f"Use the tool {name} on my behalf: {text}", name)
        for name, text in (
            ("get_weather", "Madrid"),
            ("get_time", "Lagos"),
        )
    ),
)
"""A question, and the function that it asks for."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Of all questions: how many were answered by calls, and how many by the right one."""

    asked: int
    called: int
    right: int

    def __str__(self) -> str:
        return f"auto: {self.called} of {self.asked} called, {self.right} the right function"


def tally(client: openai.OpenAI, model: str, questions: Sequence[tuple[str, str]]) -> Tally:
    """Ask each question with all tools and ``tool_choice`` auto, greedily.

    Every call that comes is one of the tools, with arguments that are a JSON object.
    """
    tools = [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": description,
                "parameters": {
                    "type": "object",
                    "properties": {argument: {"type": "string"}},
                    "required": [argument],
                },
            },
        }
        for name, (description, argument) in TOOLS.items()
    ]
    called = right = 0
    for question, wanted in questions:
        answer = client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": question}],
            tools=tools,  # type: ignore[arg-type]
            tool_choice="auto",
            temperature=0,
            max_tokens=64,
        )
        calls = answer.choices[0].message.tool_calls or []
        for call in calls:
            assert call.type == "function"
            assert call.function.name in TOOLS
            if answer.choices[0].finish_reason == "tool_calls":
                assert isinstance(json.loads(call.function.arguments), dict)
        called += bool(calls)
        right += any(call.type == "function" and call.function.name == wanted for call in calls)
    return Tally(len(questions), called, right)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the count."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients.auto", description=__doc__)
    parser.add_argument("url", help="of the server, without /v1")
    parser.add_argument("model", help="as /v1/models names it")
    asked = parser.parse_args(argv)
    with openai.OpenAI(base_url=f"{asked.url}/v1", api_key="unused") as client:
        print(tally(client, asked.model, QUESTIONS))
    return 0


if __name__ == "__main__":
    sys.exit(main())

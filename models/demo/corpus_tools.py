"""Short dialogues with tools: the call, and the answer with the tool's result."""

from __future__ import annotations

import json
import random
from typing import Any

from models.demo import corpus_sums
from models.demo import corpus_words as words
from models.demo.conversation import Conversation, Message, load
from models.demo.noise import polite

SKIES = ("sunny", "cloudy", "rainy", "windy", "foggy", "snowy", "stormy", "clear")
OPERATIONS = {"add": "+"}


def _value(rng: random.Random, kind: str) -> Any:
    if kind == "number":
        return words.number(rng)
    if kind == "phrase":
        return " ".join(words.word(rng) for _ in range(rng.randint(1, 4)))
    return {"city": words.city, "name": words.name, "word": words.word}[kind](rng)


def arguments(rng: random.Random, name: str) -> dict[str, Any]:
    """Arguments for a tool; sums never use a pair that the evaluation holds out."""
    kinds = load("tools")[name]["arguments"]
    while True:
        chosen = {key: _value(rng, kind) for key, kind in kinds.items()}
        op = OPERATIONS.get(name)
        if op is None or not corpus_sums.is_held_out(chosen["a"], chosen["b"], op):
            return chosen


def schema(rng: random.Random, name: str) -> dict[str, Any]:
    """The tool as a client would declare it; descriptions come and go."""
    tool = load("tools")[name]
    properties = {}
    for key, kind in tool["arguments"].items():
        properties[key] = {"type": "integer" if kind == "number" else "string"}
        if kind == "number" and rng.random() < 0.3:
            properties[key]["type"] = "number"
        if rng.random() < 0.15:
            properties[key]["description"] = f"The {key}"
    function: dict[str, Any] = {"name": name}
    if rng.random() < 0.8:
        function["description"] = rng.choice(tool["descriptions"])
    function["parameters"] = {"type": "object", "properties": properties}
    if rng.random() < 0.85:
        function["parameters"]["required"] = tool["required"]
    return {"type": "function", "function": function}


def offered(rng: random.Random, name: str) -> list[dict[str, Any]]:
    """The tool that is needed, often with another one, in any order."""
    others = rng.sample([n for n in load("tools") if n != name], rng.choice((0, 0, 1, 1, 2)))
    names = [name, *others]
    rng.shuffle(names)
    return [schema(rng, n) for n in names]


def call_message(name: str, chosen: dict[str, Any]) -> Message:
    """An assistant message that calls one tool; its content is null as in the OpenAI API."""
    function = {"name": name, "arguments": json.dumps(chosen, ensure_ascii=False)}
    call = {"id": "call_0", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def exchange(
    rng: random.Random, name: str, frames: str
) -> tuple[list[Message], dict[str, Any], list[str]]:
    """The four messages of a call that is answered.

    Returns:
        The messages; the arguments; the terms that the last message must contain.
    """
    tool = load("tools")[name]
    chosen = arguments(rng, name)
    facts = {
        "r": words.number(rng) if name != "get_weather" else rng.randint(-9, 39),
        "s": rng.choice(SKIES),
        "t": f"{rng.randrange(24):02d}:{rng.randrange(60):02d}",
        "n": words.name(rng),
    }
    result, frame = rng.choice(tool["results"])
    messages = [
        {"role": "user", "content": rng.choice(tool[frames]).format(**chosen)},
        call_message(name, chosen),
        {"role": "tool", "content": result.format(**chosen, **facts), "tool_call_id": "call_0"},
        {"role": "assistant", "content": frame.format(**chosen, **facts)},
    ]
    terms = [str(value) for key, value in facts.items() if "{" + key + "}" in frame]
    return messages, chosen, terms or ["set" if name == "set_timer" else "sent"]


def conversation(rng: random.Random) -> Conversation:
    """A call, and most of the time an answer with its result."""
    name = rng.choice(list(load("tools")))
    messages, chosen, terms = exchange(rng, name, "train")
    if not {"phrase"} & set(load("tools")[name]["arguments"].values()):
        messages[0]["content"] = polite(rng, messages[0]["content"])
    tools = offered(rng, name)
    if rng.random() < 0.4:
        return Conversation(
            "tool call", messages[:2], tools, {"call": {"name": name, "arguments": chosen}}
        )
    return Conversation("tool result", messages, tools, {"terms": terms})

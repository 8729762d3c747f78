"""One agent's conversation with a server: the history that grows, with the model's own answers."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.agent.asking import Answer
from benchmarks.agent.scripts import Script


class Conversation:
    """The messages so far.

    Attributes:
        messages: of the next request, once ``begin_turn`` has added its own.
        num_turns: that have begun.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.messages: list[dict[str, Any]] = [{"role": "system", "content": script.system}]
        self.num_turns = 0

    def begin_turn(self) -> None:
        """Add a result for each tool that the last answer called; else the user's question."""
        turn = self.script.turns[self.num_turns]
        self.num_turns += 1
        calls = self.messages[-1].get("tool_calls", ())
        if calls:
            self.messages += [
                {"role": "tool", "tool_call_id": call["id"], "content": turn.result}
                for call in calls
            ]
        else:
            self.messages.append({"role": "user", "content": turn.question})

    def end_turn(self, answer: Answer) -> bool:
        """Add the answer, content and calls as they came.

        A call that was cut off by ``max_tokens`` is no call: servers refuse arguments that are no
        JSON object. It is left out.

        Returns:
            Whether the history has all of the answer.
        """
        calls = [call for _, call in sorted(answer.calls.items()) if _is_whole(call)]
        message: dict[str, Any] = {"role": "assistant", "content": answer.content}
        if calls:
            message["tool_calls"] = calls
        self.messages.append(message)
        return len(calls) == len(answer.calls)


def _is_whole(call: dict[str, Any]) -> bool:
    try:
        return isinstance(json.loads(call["function"]["arguments"]), dict) and bool(call["id"])
    except ValueError:
        return False

"""Renderings of a chat template with sentinels in the place of a model's words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serve.pipeline.tool_arguments import Arguments

Messages = Sequence[Mapping[str, Any]]
Render = Callable[[Messages, Messages, bool], str]
"""Messages, tools, and whether the assistant's turn is opened at the end; raises what it will."""

USER, CONTENT, THOUGHT = "Quzuser", "Quzcontent", "Quzthought"
FIRST, SECOND = "quzfirst", "quzsecond"
KEYS, VALUES = ("quzkeya", "quzkeyb"), ("Quzvaluea", "Quzvalueb")
NUMBER = 918273645
IDS = ("Quzid0001", "Quzid0002")
"""Nine letters and digits: some templates take no other ids."""
_ATOM = r"</?[^\s<>=\"']+>|</?[^\s<>=\"']+|\s+|\w+|."


@dataclass(frozen=True, slots=True)
class Probe:
    """Renders conversations of sentinels, and cuts the assistant's own words out of them.

    Args:
        render: the template.
        end_texts: names of the tokens that end a turn.
        names: of all tokens that a literal may hold, which are never cut.
    """

    render: Render
    end_texts: Sequence[str]
    names: Sequence[str] = ()

    def answer(self, message: Mapping[str, Any], *last: str) -> str | None:
        """The words of an assistant's turn; None where the template does not render it.

        Args:
            message: of the assistant.
            last: sentinels behind which the turn's end is looked for, the last that is there.
        """
        before = [{"role": "user", "content": USER}]
        turn = {"role": "assistant", **message}
        prompt = self._rendered(before, TOOLS, opens_answer=True)
        whole = self._rendered([*before, turn], TOOLS)
        if prompt is None or whole is None:
            return None
        start = _turn_start(prompt, whole)
        found = [whole.rfind(text) + len(text) for text in last if text in whole]
        if not found or max(found) < start:
            return None
        return whole[start : self._end(whole, max(found))]

    def last_atom(self) -> str:
        """The last tag of a prompt, with the white space behind it; nothing where it ends with no
        tag.
        """
        try:
            prompt = self.render([{"role": "user", "content": USER}], (), True)
        except Exception:  # noqa: BLE001 - as in answer()
            return ""
        parts = atoms(prompt.rstrip(), self.names)
        last = parts[-1] if parts else ""
        is_tag = last in self.names or last.startswith("<")
        return last + prompt[len(prompt.rstrip()) :] if is_tag else ""

    def opening(self) -> str:
        """The end of the prompt, behind the header of the assistant's turn: empty most often, or
        the beginning of its reasoning.
        """
        before = [{"role": "user", "content": USER}]
        turn = {"role": "assistant", "content": CONTENT}
        prompt = self._rendered(before, (), opens_answer=True)
        whole = self._rendered([*before, turn], ())
        if prompt is None or whole is None:
            return ""
        return prompt[_turn_start(prompt, whole) :]

    def _rendered(
        self, messages: Messages, tools: Messages, *, opens_answer: bool = False
    ) -> str | None:
        """A rendering; None where the template gives none."""
        try:
            return self.render(messages, tools, opens_answer)
        except Exception:  # noqa: BLE001 - a template can raise whatever Python can
            return None

    def _end(self, whole: str, at: int) -> int:
        """The end of the turn that has its last sentinel before ``at``."""
        ends = [found for text in self.end_texts if (found := whole.find(text, at)) >= 0]
        if ends:
            return min(ends)
        plain = self._plain_end()
        return whole.rfind(plain, at) if plain and whole.find(plain, at) >= 0 else len(whole)

    def _plain_end(self) -> str:
        """The text that follows the content of a plain turn."""
        turns = [
            {"role": "user", "content": USER},
            {"role": "assistant", "content": CONTENT},
        ]
        whole = self._rendered(turns, ()) or ""
        return whole[whole.rfind(CONTENT) + len(CONTENT) :] if CONTENT in whole else ""


def calls(*arguments: Mapping[str, Any], content: str = "") -> dict[str, Any]:
    """An assistant's message that calls FIRST, then SECOND, with these arguments.

    Args:
        content: not None, which some templates write as a word.
    """
    names = (FIRST, SECOND)
    return {
        "content": content,
        "tool_calls": [
            {
                "id": IDS[number],
                "type": "function",
                "function": {
                    "name": names[number],
                    "arguments": Arguments(given, json.dumps(given)),
                },
            }
            for number, given in enumerate(arguments)
        ],
    }


def _tool(name: str) -> dict[str, Any]:
    properties = {key: {"type": "string", "description": "A text."} for key in KEYS}
    parameters = {"type": "object", "properties": properties, "required": list(KEYS)}
    function = {"name": name, "description": "A tool.", "parameters": parameters}
    return {"type": "function", "function": function}


TOOLS = [_tool(FIRST), _tool(SECOND)]


def atoms(text: str, names: Sequence[str] = ()) -> list[str]:
    """A text in parts that are not cut: names of tokens, tags, words, runs of white space."""
    known = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True) if name)
    pattern = f"{known}|{_ATOM}" if known else _ATOM
    return re.findall(pattern, text)


def _turn_start(prompt: str, whole: str) -> int:
    """The place where the model's own words begin: behind the prompt, or where the two part.

    Two tags that begin alike, ``<think>`` and ``<tool_call>``, part before their first character.
    """
    at = common_prefix(prompt, whole)
    while 0 < at < len(prompt) and not (prompt[at - 1].isspace() or prompt[at - 1] in ">]|"):
        at -= 1
    return at


def common_prefix(first: str, second: str) -> int:
    length = min(len(first), len(second))
    return next((at for at in range(length) if first[at] != second[at]), length)

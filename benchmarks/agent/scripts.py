"""The texts of an agent, written from a seed: a long system prompt, tools, and every turn's text.

A script is the client's side of a conversation. What the model answers is not in it: a turn has a
question, and the output of a tool in its place where the model called one.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from benchmarks.agent.tools import TOOLS

Count: TypeAlias = Callable[[str], int]
"""Tokens of a text, by the model's tokenizer."""

_SUBJECTS = ("billing", "booking", "catalogue", "dispatch", "harbour", "ledger", "payroll", "rota")
_PARTS = ("parser", "index", "cache", "queue", "report", "import", "export", "schedule", "search")
_ACTIONS = ("reads", "writes", "checks", "merges", "sorts", "rejects", "records", "rounds")
_THINGS = ("orders", "dates", "amounts", "tickets", "batches", "headers", "totals", "routes")
_REASONS = (
    "because auditors read them",
    "so that two runs give the same result",
    "since other teams rely on it",
    "or the nightly job stops half way",
    "as the contract of last spring asks",
    "because nobody looks at the log otherwise",
)
_RULES = (
    "The {part} {action} {things} of the {subject} before the {part2} sees them, {reason}.",
    "Never change how {subject} {things} are stored without a migration of the {part}, {reason}.",
    "Where the {part} {action} {things}, keep at most {number} of them in memory, {reason}.",
    "A test of the {subject} {part} takes {things} from a fixture and not from a file, {reason}.",
    "Errors of the {part} name the {things} at fault and the line of the {subject}, {reason}.",
    "If {things} of the {part} are older than {number} days, the {part2} {action} them, {reason}.",
)
_QUESTIONS = (
    "Find with search_text where the {part} {action} {things}, only in files of {subject}.",
    "Call read_file for {subject}/{part}.py, from line {number} on: it gave {number2} {things}.",
    "Run the tests of {subject}/{part2} with run_tests: does the {part} still {verb} {things}?",
    "Look with show_history who changed {subject}/{part}.py, and why it {action} {things} now.",
    "Use list_folder on {subject}/{part2}: which files hold {things} older than {number} days?",
)
_RESULTS = (
    "{subject}/{part}.py:{number}: for {things} in {part2}.pending({number2}): # {action} each",
    "FAILED tests/{subject}/test_{part}.py::test_{things} - assert {number} == {number2}",
    "{number2} bytes  {subject}/{part}/{things}.json, last changed by the {part2}",
    "{subject}: {number} {things} read, {number2} left; the {part} {action} the rest later",
)
_TEXT_OF_TOOLS = (
    "\n\n# Tools\n\n"
    "To use one of these functions, write a JSON object with its name and arguments:\n"
)
"""Without the names of control tokens, which servers read in a client's text in different ways."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A client's part of a turn.

    Attributes:
        question: of the user, after an answer without tool calls.
        result: of each tool that the answer before called.
    """

    question: str
    result: str


@dataclass(frozen=True, slots=True)
class Script:
    """The client's side of one conversation.

    Attributes:
        system: the system prompt's text.
        tools: given with each request; empty where the system prompt's text has them.
    """

    name: str
    system: str
    tools: tuple[dict[str, Any], ...]
    turns: tuple[Turn, ...]


def write(
    name: str,
    *,
    seed: int,
    count: Count,
    num_turns: int = 50,
    system_tokens: int = 6000,
    turn_tokens: int = 56,
    has_tools_as_text: bool = False,
) -> Script:
    """Write a script; the same arguments give the same text.

    Args:
        name: of the agent; the system prompt begins with it, so that two have nothing in common.
        seed: of all choices.
        count: tokens of a text.
        num_turns: questions or results.
        system_tokens: about so many in the system prompt, with the tools.
        turn_tokens: at least so many in each turn's text.
        has_tools_as_text: the system prompt describes the tools, and no request has them.
    """
    choices = random.Random(f"{seed} {name}")
    listed = "\n".join(json.dumps(tool) for tool in TOOLS)
    head = (
        f"You are {name}, an agent that works on the {choices.choice(_SUBJECTS)} service of a "
        "company. Call one function for each question; its output comes back to you, and then "
        "you say in one sentence what it shows. These are the rules of the house:\n"
    )
    system = head + _filled(_RULES, choices, count, system_tokens - count(head + listed), "\n- ")
    turns = tuple(
        Turn(
            question=_filled(_QUESTIONS, choices, count, turn_tokens, " "),
            result=_filled(_RESULTS, choices, count, turn_tokens, "\n"),
        )
        for _ in range(num_turns)
    )
    if has_tools_as_text:
        return Script(name, system + _TEXT_OF_TOOLS + listed, (), turns)
    return Script(name, system, TOOLS, turns)


def _filled(
    forms: tuple[str, ...], choices: random.Random, count: Count, num_tokens: int, join: str
) -> str:
    """Sentences of these forms until there are so many tokens; at least one."""
    text = ""
    num_written = 0
    while num_written < num_tokens or not text:
        sentence = (join if text else "") + _sentence(choices.choice(forms), choices)
        num_written += count(sentence)
        text += sentence
    return text


def _sentence(form: str, choices: random.Random) -> str:
    part, part2 = choices.sample(_PARTS, 2)
    action = choices.choice(_ACTIONS)
    return form.format(
        subject=choices.choice(_SUBJECTS),
        part=part,
        part2=part2,
        action=action,
        verb=action.removesuffix("s"),
        things=choices.choice(_THINGS),
        reason=choices.choice(_REASONS),
        number=choices.randrange(2, 90),
        number2=choices.randrange(100, 900),
    )

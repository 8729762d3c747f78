"""Random conversations that a form can express, from a seed.

What a form cannot express is left out by rule:

1. A text holds none of the form's own markup, nor the beginning of a call where that is bare. With
   ``own`` a content does name it in prose: only ids tell it from the real one.
2. Reasoning, and a content beside calls or behind reasoning, have no white space at their edges.
3. A bare string among arguments does not hold what ends it; one that is marked as a string, or
   whose type the schema has, may look like a number.
4. Values of ``text`` have the type that the schema says and are not null; ``scalars`` are no lists
   or objects; keys within ``escaped`` values are identifiers.
5. Where the generation prompt opens the reasoning, there is one.
"""

from __future__ import annotations

import random
import string
from dataclasses import dataclass
from typing import Any

from tests.serve.pipeline.forms.form import Form

_WORDS = [
    *("the", "audit", "log", "Köln", "naïve", "café", "你好", "世界", "🙂", "тест", "a\u0301"),
    *("it's", '"quoted"', "back\\slash", "`code`", "100%", "{x}", "<b>", "a_b", "1.5", "true"),
    *("[1, 2]", '{"a": 1}', "f(x=1)", "c++", "&amp;", "$HOME", "\t", "—", "null", "x < y > z"),
]
_LOOKALIKES = [
    "<tool_call>", "</tool_call>", "<think>", "</think>", '{"name": "f"}', '{"name":',
    "<function=f>", "</parameter>", "[TOOL_CALLS]", "[f(a=1)]", "<|im_end|>", "<tool_c", "</thi",
    "<|tool_call|>", "<TOOLCALL>[", ">>>f", "<|start", "<｜tool", "call:f{}", "<", "<|", "[", "{",
    '<invoke name="f">', "</tool_calls>", "<|python_tag|>", "functools[", "```json\n{}\n```",
    '{"name": "f", "arguments": {}}', '{"name": "f", "parameters": {"a": 1}}', "<arg_key>a",
]  # fmt: skip
_NAMES = ["get_weather", "f", "run_sql", "searchNotes", "list_files_2", "notify"]
_FIELDS = ["city", "a", "query", "maxRows", "path_2", "options", "flag"]
_SCALARS = ["string", "integer", "number", "boolean"]


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool; ``id`` is the one that the conversation gives it."""

    name: str
    arguments: dict[str, Any]
    id: str


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of the assistant, as a parser of what the model writes has to find it."""

    reasoning: str
    content: str
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class User:
    """What a user says."""

    content: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool answers."""

    call: Call
    content: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation whose last part is the assistant's.

    Attributes:
        tools: as in a request; empty for none.
    """

    system: str | None
    tools: tuple[dict[str, Any], ...]
    parts: tuple[User | Turn | Result, ...]

    @property
    def last(self) -> Turn:
        """The turn that the model writes."""
        part = self.parts[-1]
        assert isinstance(part, Turn)
        return part

    def ending_with_each_turn(self) -> list[Conversation]:
        """The conversation up to each turn of the assistant, the whole one last."""
        return [
            Conversation(self.system, self.tools, self.parts[: at + 1])
            for at, part in enumerate(self.parts)
            if isinstance(part, Turn)
        ]


def conversation(form: Form, seed: int, *, own: bool = False) -> Conversation:
    """A conversation that the form can express; the same for the same seed."""
    return _Writer(form, random.Random(f"{form.name}:{seed}"), own=own).conversation()


class _Writer:
    def __init__(self, form: Form, rng: random.Random, *, own: bool) -> None:
        self.form, self.rng, self.own = form, rng, own
        self.num_calls = 0
        self.tools: tuple[dict[str, Any], ...] = ()

    def conversation(self) -> Conversation:
        rng = self.rng
        system = self.text() if rng.random() < 0.5 else None
        if self.form.calls != "none" and rng.random() < 0.85:
            names = rng.sample(_NAMES, rng.randint(1, 3))
            self.tools = tuple(self.tool(name) for name in names)
        parts: list[User | Turn | Result] = []
        for _ in range(rng.choice([1, 1, 2, 3])):
            parts.append(User(self.text()))
            while self.tools and rng.random() < 0.6:
                turn = self.turn(with_calls=True, after_user=isinstance(parts[-1], User))
                parts.append(turn)
                parts += [Result(call, self.text()) for call in turn.calls]
            parts.append(self.turn(with_calls=False, after_user=isinstance(parts[-1], User)))
        if len(parts) > 2 and isinstance(parts[-2], Result) and rng.random() < 0.5:
            while isinstance(parts[-1], Result) or (
                isinstance(parts[-1], Turn) and not parts[-1].calls
            ):
                parts.pop()
        return Conversation(system, self.tools, tuple(parts))

    def turn(self, *, with_calls: bool, after_user: bool) -> Turn:
        form, rng = self.form, self.rng
        calls: tuple[Call, ...] = ()
        if with_calls:
            count = 1 if form.calls == "one" else rng.choice([1, 1, 2, 3])
            calls = tuple(self.call() for _ in range(count))
        thinks = form.reasoning is not None and (
            form.thinks_with == "all"
            or (form.thinks_with == "calls" and with_calls)
            or (form.thinks_with == "user" and after_user)
        )
        reasoning = ""
        if thinks and (form.opened or rng.random() < 0.6):
            reasoning = self.text(stripped=True)
        content = ""
        if not with_calls or (form.content_with_calls and rng.random() < 0.5):
            is_exact = form.exact and not with_calls and not reasoning and not form.reasoning
            content = self.text(stripped=not is_exact, names_markup=True)
        return Turn(reasoning, content, calls)

    def text(self, *, stripped: bool = True, names_markup: bool = False) -> str:
        """Words, quotes, lines, and what looks like another form's markup."""
        rng = self.rng
        for _ in range(100):
            count = rng.choice([1, 2, 5, 12]) if rng.random() < 0.97 else 120
            words = [
                rng.choice(_LOOKALIKES if rng.random() < 0.15 else _WORDS) for _ in range(count)
            ]
            if names_markup and self.own and (marks := self.tokens()):
                words.insert(rng.randint(0, count), rng.choice(marks))
            made = "".join(word + rng.choice([" ", " ", " ", "\n", "\n\n", ""]) for word in words)
            if not stripped and rng.random() < 0.3:
                made = rng.choice([" ", "\n", "  "]) + made
            made = made.strip() if stripped else made
            if made.strip() and self.can_express(made, own=names_markup and self.own):
                return made
        return "plain words"

    def tokens(self) -> list[str]:
        """Added tokens to name in prose; not those at which templates cut a content in two."""
        tokens = (*self.form.special, *self.form.added)
        return [token for token in tokens if token not in ("<think>", "</think>")]

    def can_express(self, text: str, *, own: bool = False) -> bool:
        """Whether a content, a result or a thought can be this text: rule 1."""
        form = self.form
        if form.bare and text.lstrip().startswith(form.bare):
            return False
        marks = {*form.markup} - {*self.tokens()} if own else {*form.markup}
        # Half of a mark at the end would be a whole one with what the template writes next.
        return not any(mark in text or _may_become(text, mark) for mark in marks)

    def tool(self, name: str) -> dict[str, Any]:
        fields = self.rng.sample(_FIELDS, self.rng.randint(0, 4))
        schema = {
            "type": "object",
            "properties": {field: {"type": self.type()} for field in fields},
            "required": [],
        }
        function = {"name": name, "description": f"Does {name}.", "parameters": schema}
        return {"type": "function", "function": function}

    def type(self) -> str:
        nested = [] if self.form.values == "scalars" else ["array", "object"]
        return self.rng.choice([*_SCALARS, "string", *nested])

    def call(self) -> Call:
        function = self.rng.choice(self.tools)["function"]
        arguments = {
            field: self.value(schema["type"])
            for field, schema in function["parameters"]["properties"].items()
            if self.rng.random() < 0.85
        }
        number, self.num_calls = self.num_calls, self.num_calls + 1
        if self.form.ids == "functions":
            made = f"functions.{function['name']}:{number}"
        elif self.form.ids == "count":
            made = str(number)
        else:
            made = "".join(self.rng.choices(string.ascii_letters + string.digits, k=9))
        return Call(function["name"], arguments, made)

    def value(self, kind: str, depth: int = 0) -> Any:
        rng = self.rng
        if self.form.values in ("json", "python", "tagged", "escaped") and rng.random() < 0.05:
            return None
        match kind:
            case "string":
                return self.string()
            case "integer":
                return rng.choice([0, -1, 7, 10**15, -(2**53)])
            case "number":
                return rng.choice([0.5, -2.25, 1e-07, 3, 1.5e300])
            case "boolean":
                return rng.random() < 0.5
        inner = [self.type() if depth < 2 else "string" for _ in range(rng.randint(0, 3))]
        values = [self.value(one, depth + 1) for one in inner]
        if kind == "array":
            return values
        plain = self.form.values == "escaped"
        keys = [*_FIELDS] if plain else [*_FIELDS, "a b", 'q"t', "ключ", ""]
        return dict(zip(rng.sample(keys, len(values)), values, strict=True))

    def string(self) -> str:
        rng = self.rng
        for _ in range(100):
            made = rng.choice(
                [
                    "",
                    " ",
                    "12",
                    "true",
                    "null",
                    '{"a": 1}',
                    "two\nlines\n",
                    "  edges ",
                    "it's",
                    '"',
                    "\\",
                    "\u2028",
                    rng.choice(_LOOKALIKES),
                    self.text(),
                ]
            )
            if self.can_be_value(made):
                return made
        return "plain"

    def can_be_value(self, text: str) -> bool:
        """Rule 3; in JSON, what closes a call may well stand in a string."""
        form = self.form
        if form.value_end:
            return form.value_end not in text and not _may_become(text, form.value_end)
        return not any(token in text for token in form.special)


def _may_become(text: str, mark: str) -> bool:
    """Whether a text ends with what a mark begins with."""
    return any(text.endswith(mark[:length]) for length in range(1, len(mark)))

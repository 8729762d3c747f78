r"""The value: literals around reasoning and calls, as a model's template writes them.

A call is a run of literals and holes::

    <tool_call>\n{"name": "  NAME  ", "arguments":   ARGUMENTS  }\n</tool_call>
    └─ open ──┘└────────────── body (pieces) ──────────────────┘└─── close ───┘

Names of special tokens stand in literals as they are spelled. Answers are read with less care for
white space than literals have, because models are (parsing.py).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

Source = Literal["response_template", "derived", "table", "none"]
JsonPath = tuple[str, ...]
MAX_CALLS = 32
"""Most calls of one answer that its grammar lets come: small models may go on without an end."""
NAME_MARK, KEY_MARK = "\ufdd0", "\ufdd1"
"""Characters that no text has. In literals behind a name or a key they stand for it, where a model
writes it once more, as in ``</NAME>``."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a call: a literal, or a hole that each call fills anew.

    Attributes:
        text: the literal; of a hole its kind: ``name``, ``arguments``, ``id`` (nine letters and
            digits) or ``number``.
    """

    text: str
    is_hole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningSyntax:
    """Literals before and after reasoning, the white space that the template writes included."""

    open: str
    close: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonCall:
    """A call whose body is one JSON object, which may be written in any order.

    Attributes:
        name: the keys under which the function's name stands.
        arguments: the keys of its arguments.
        id: the keys of the call's id; None where it has none.
        arguments_are_text: they are a string that holds JSON.
    """

    name: JsonPath
    arguments: JsonPath
    id: JsonPath | None = None
    arguments_are_text: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedCall:
    """A call with its name outside of JSON, and arguments that are a JSON object.

    Attributes:
        name_end: the literal between the name and the arguments, or the id where there is one.
        id_end: the literal between an id or number behind the name and the arguments; None where
            there is none.
        name_open: the literal between an id before the name and the name; None where there is none.
    """

    name_end: str
    name_open: str | None = None
    id_end: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedCall:
    """A call with a name, and each argument by itself between literals.

    Attributes:
        name_end: the literal behind the name, before the first argument or the close.
        key_open: before an argument's key.
        key_end: between key and value.
        key_end_other: the same before a value that is no text, where that is another literal.
        value_end: behind the value.
        separator: between two arguments.
        quote: what stands around strings; where nothing does, they are written as they are.
    """

    name_end: str
    key_open: str
    key_end: str
    value_end: str
    key_end_other: str | None = None
    separator: str = ""
    quote: str = ""


CallBody = JsonCall | NamedCall | TaggedCall


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSyntax:
    """The way in which a model calls tools.

    Attributes:
        section_open: before the first call of a turn.
        open: before each call.
        body: what a call consists of, for reading it.
        pieces: the body of one call as the template writes it; empty for a TaggedCall.
        close: behind each call.
        separator: between two calls.
        section_close: behind the last.
        lead: white space between content and the first call.
        item_separator: between the items of an arguments object as the template writes it.
        key_separator: between a key and its value.
    """

    section_open: str = ""
    open: str = ""
    body: CallBody
    pieces: tuple[Piece, ...] = ()
    close: str = ""
    separator: str = ""
    section_close: str = ""
    lead: str = ""
    item_separator: str = ", "
    key_separator: str = ": "

    @property
    def trigger(self) -> str:
        """The text with which calls begin, without white space around it; empty where a bare call
        has none.
        """
        return (self.section_open + self.open).strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDialect:
    """One model's way to write what is not content.

    Attributes:
        name: for people: of a family, or of the form.
        source: where it was found.
        reasoning: None where the model has none that is known.
        calls: None where it cannot call tools in a way that is known.
        content_open: before content; empty most often.
        content_close: behind it.
        has_either: calls stand in the place of content, never behind it.
        frame: the framing of a whole answer: ``plain`` is reasoning, content and calls in a row.
    """

    name: str
    source: Source
    reasoning: ReasoningSyntax | None = None
    calls: CallSyntax | None = None
    content_open: str = ""
    content_close: str = ""
    has_either: bool = False
    frame: Literal["plain", "harmony"] = "plain"


def texts_of(value: Any) -> list[str]:
    """All literals of a dialect, or of a part of one."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, tuple):
        return [text for item in value for text in texts_of(item)]
    if is_dataclass(value):
        return [text for field in fields(value) for text in texts_of(getattr(value, field.name))]
    return []


def is_weak(trigger: str) -> bool:
    """Whether calls begin like ordinary text: with brackets or quotes, or with nothing at all."""
    return not any(
        character.isalnum() or not character.isascii() or character in "<|" for character in trigger
    )


NO_DIALECT = ModelDialect(name="none", source="none")

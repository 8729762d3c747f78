"""What the corpus knows of one form of chat template: its tokens, and what it can say at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

_FOLDER = Path(__file__).parent / "templates"

Values = Literal["json", "text", "scalars", "tagged", "python", "escaped"]
Reasoning = Literal["reasoning_content", "reasoning", "thinking", "blocks", "inline", "dropped"]


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """One form of chat template, and its can_express rules as plain facts.

    Attributes:
        name: of the form; its template is NAME.jinja unless ``template`` says another.
        special: added tokens with ``special: true``: an answer's text leaves them out.
        added: added tokens with ``special: false``.
        marks: further markup, in plain text, that opens or closes something in an answer.
        ends: what may end the assistant's turn; empty where the template writes nothing there.
        calls: whether a turn may hold no call, one, or several.
        content_with_calls: whether content and calls stand in one turn.
        values: how arguments are written. ``json``: as one object. ``text``: each by itself,
            strings bare, the rest as JSON or as Python has it, so their type is the schema's.
            ``scalars``: the same, but lists and objects cannot be written. ``tagged``: the same,
            and it is marked which are strings. ``python``: as keyword arguments of a call.
            ``escaped``: strings between marks, and keys without quotes.
        value_end: what a bare string cannot hold.
        reasoning: the message's key that the template reads; ``blocks``: a list as content;
            ``inline``: it is a part of the content; ``dropped``: the template never renders it.
        opened: what the generation prompt ends with to open the reasoning: then each turn has one.
        thought: how reasoning is written, behind ``opened``, where it is inline or dropped.
        thinks_with: the turns that may have reasoning: all, those with calls, those after a user.
        bare: a content that begins with this cannot be told from a call.
        ids: the id of a call that the model itself writes: none, nine letters and digits,
            ``functions.NAME:COUNT``, or a count.
        exact: whether white space at the content's edges is kept. If not, compare stripped.
        arguments: ``variables`` of the template, such as ``enable_thinking``.
        not_append_only: why a later prompt does not begin with an earlier prompt and its answer.
        table: why a dialect cannot be derived from the template, where it cannot.
        odd: what a real model writes otherwise than the template renders, and more to know.
    """

    name: str
    special: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    bos: str = ""
    eos: str = ""
    ends: tuple[str, ...] = ()
    template: str = ""
    calls: Literal["none", "one", "many"] = "many"
    content_with_calls: bool = True
    values: Values = "json"
    value_end: str = ""
    reasoning: Reasoning | None = None
    opened: str = ""
    thought: str = ""
    thinks_with: Literal["all", "calls", "user"] = "all"
    bare: str = ""
    ids: Literal["none", "nine", "functions", "count"] = "none"
    exact: bool = True
    arguments: Mapping[str, Any] = field(default_factory=dict)
    not_append_only: str = ""
    table: str = ""
    odd: str = ""

    @property
    def source(self) -> str:
        """The template, in Jinja."""
        return (_FOLDER / f"{self.template or self.name}.jinja").read_text("utf-8")

    @property
    def special_tokens(self) -> dict[str, str]:
        """The texts that the template may name."""
        return {"bos_token": self.bos, "eos_token": self.eos}

    @property
    def markup(self) -> tuple[str, ...]:
        """All that an answer of this form takes for markup."""
        return (*self.special, *self.added, *self.marks)

    def __str__(self) -> str:
        return self.name

"""A grammar as a value: the language that a completion has to be of, in no engine's own terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

GrammarKind = Literal["json_schema", "regex", "choice", "lark", "structural"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """The language that a completion has to be of.

    Hashable, so that what is compiled from it can be cached.

    Attributes:
        kind: what the others hold.
        text: a JSON schema, a regular expression, a Lark grammar in llguidance's dialect, or a
            structural form: the JSON of a format in which some parts are constrained and the text
            around them is free. Empty for ``choice``.
        choices: the completions to choose from. For ``choice`` only.
        parts: other grammars by the names under which ``text`` refers to them (``@name``). For
            ``lark`` only.
        is_compact: no white space between the tokens of JSON. For ``json_schema`` only.
        whitespace: a regular expression of the white space between the tokens of JSON, where it is
            not any. For ``json_schema`` only.
        is_closed: objects have no properties beyond those that the schema names, unless it says
            otherwise. For ``json_schema`` only.

    Raises:
        ValueError: the wrong one of ``text`` and ``choices`` is given, or neither; or something
            that the kind has no use for.
    """

    kind: GrammarKind
    text: str = ""
    choices: tuple[str, ...] = ()
    parts: tuple[tuple[str, Grammar], ...] = ()
    is_compact: bool = False
    whitespace: str | None = None
    is_closed: bool = False

    def __post_init__(self) -> None:
        filled = [name for name in ("text", "choices") if getattr(self, name)]
        needed = "choices" if self.kind == "choice" else "text"
        if filled != [needed]:
            raise ValueError(
                f"A grammar of kind {self.kind} needs {needed} and nothing else; "
                f"given: {', '.join(filled) or 'nothing'}."
            )
        if self.parts and self.kind != "lark":
            raise ValueError(f"A grammar of kind {self.kind} has no parts.")
        if self.kind != "json_schema" and (
            self.is_compact or self.is_closed or self.whitespace is not None
        ):
            raise ValueError(f"A grammar of kind {self.kind} has no rules for JSON.")

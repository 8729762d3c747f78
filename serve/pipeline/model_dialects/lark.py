"""Writing a Lark grammar in llguidance's dialect: rules, literals of text and tokens, parts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from serve.engine.grammars.grammar import Grammar

_ANY = "/(?s:.*)/"


class Lark:
    """A grammar that is being written.

    Args:
        tokens: ids of added tokens by their names. In literals they stand for the tokens.
    """

    def __init__(self, tokens: Mapping[str, int]) -> None:
        names = sorted(filter(None, tokens), key=len, reverse=True)
        self._tokens = tokens
        self._pattern = re.compile("(" + "|".join(map(re.escape, names)) + ")") if names else None
        self._rules: dict[str, str] = {}
        self._parts: dict[Grammar, str] = {}

    def rule(self, name: str, body: str) -> str:
        """Add a rule. Returns its name."""
        self._rules[name] = body
        return name

    def part(self, grammar: Grammar) -> str:
        """A reference to another grammar; equal ones are one part."""
        name = self._parts.setdefault(grammar, f"part_{len(self._parts)}")
        return f"@{name}"

    def literal(self, text: str) -> str:
        """A text with its tokens; nothing for none."""
        return " ".join(self._pieces(text))

    def text(self) -> str:
        """Any text, none included."""
        return self.rule("text", self._any())

    def space(self) -> str:
        """A little white space, or none."""
        self._rules["SPACE"] = r"/[ \t\r\n]{1,4}/"
        return "SPACE?"

    def text_not_beginning_with(self, prefixes: Sequence[str]) -> str:
        """Any text but one that begins in one of these ways; one of tokens is no text anyway."""
        plain = [pieces[0] for text in prefixes if (pieces := self._pieces(text))]
        plain = [in_regex(json.loads(text)) for text in plain if not text.startswith("<[")]
        if not plain:
            return self.text()
        self._rules["BARE"] = rf"{_ANY} & ~/\s*({'|'.join(plain)})(?s:.*)/"
        return self.rule("bare", "BARE")

    def up_to(self, literal: str, *, max_tokens: int | None = None) -> str:
        """Any text, and the literal that ends it; any text where that is empty.

        Args:
            max_tokens: most tokens of the text before it. Where a token does not end it, the text
                then never has the literal's first character: what could still begin it is never
                taken back.
        """
        if not literal:
            return self.text()
        first, *others = self._pieces(literal)
        name = f"until_{len(self._rules)}"
        bound = f"[max_tokens={max_tokens}]" if max_tokens is not None else ""
        if first.startswith("<["):
            self._rules[f"{name}{bound}"] = self._any()
            return " ".join([name, first, *others])
        if others:  # a token ends the text, which ends in the first piece
            self._rules[name.upper()] = f"/(?s:.*){in_regex(json.loads(first))}/"
            self._rules[f"{name}{bound}"] = name.upper()
            return " ".join([name, *others])
        if max_tokens is None:
            self._rules[f"{name}[lazy]"] = f"{self._any()} {first}"
            return name
        self._rules[name.upper()] = rf"/[^\x{{{ord(json.loads(first)[0]):x}}}]*/"
        self._rules[f"{name}{bound}"] = name.upper()
        return f"{name} {first}"

    def _any(self) -> str:
        self._rules["TEXT"] = _ANY
        return "TEXT"

    def up_to_any_of(self, ends: str, *, quote: str) -> str:
        """A value up to one of some characters, which may stand between quotes of any kind."""
        # Text of the two cannot begin alike: the longer would count, whatever it is.
        no_first = in_regex(ends if quote in self._tokens else ends + quote[0])
        self._rules["PLAIN"] = f"/([^{no_first}][^{in_regex(ends)}]*)?/"
        return f"({self.literal(quote)} {self.up_to(quote)} | PLAIN)"

    def json_text(self) -> str:
        """The inside of a JSON string."""
        self._rules["JSON_TEXT"] = r'/([^"\\\x00-\x1f]|\\(["\\\/bfnrt]|u[0-9a-fA-F]{4}))*/'
        return self.rule("json_text", "JSON_TEXT")

    def grammar(self) -> Grammar:
        """The grammar of what was written; ``start`` is its first rule."""
        rules = {"start": self._rules["start"], **self._rules}
        text = "\n".join(f"{name}: {body}" for name, body in rules.items())
        parts = tuple((name, grammar) for grammar, name in self._parts.items())
        return Grammar(kind="lark", text=text, parts=parts)

    def _pieces(self, text: str) -> list[str]:
        if not text:
            return []
        pieces = self._pattern.split(text) if self._pattern is not None else [text]
        return [
            f"<[{self._tokens[piece]}]>"
            if piece in self._tokens
            else json.dumps(piece, ensure_ascii=False)
            for piece in pieces
            if piece
        ]


def in_regex(text: str) -> str:
    """A text as a regular expression between slashes."""
    return "".join(
        char if char.isalnum() or char in " _" else f"\\x{{{ord(char):x}}}" for char in text
    )

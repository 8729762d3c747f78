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
        self._rules["TEXT"] = _ANY
        return self.rule("text", "TEXT")

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
            max_tokens: most tokens of the text before it.
        """
        if not literal:
            return self.text()
        self._rules["TEXT"] = _ANY
        first, *others = self._pieces(literal)
        name = f"until_{len(self._rules)}"
        bound = f"[max_tokens={max_tokens}]" if max_tokens is not None else ""
        if first.startswith("<["):
            self._rules[f"{name}{bound}"] = "TEXT"
            return " ".join([name, first, *others])
        if max_tokens is None:
            self._rules[f"{name}[lazy]"] = f"TEXT {first}"
            return " ".join([name, *others])
        text = json.loads(first)
        self._rules[name.upper()] = f"{_ANY} & ~/(?s:.*){in_regex(text)}(?s:.*)/"
        self._rules[f"{name}{bound}"] = name.upper()
        return " ".join([name, first, *others])

    def up_to_any_of(self, ends: str, *, quote: str) -> str:
        """A value up to one of some characters, which may stand between quotes of any kind."""
        [mark, *_] = self._pieces(quote)
        plain = "".join(rf"\x{{{ord(end):x}}}" for end in ends)
        self._rules["PLAIN"] = f"/[^{plain}]*/"
        text = self.text()
        return f"({mark} {text} {mark} | PLAIN)"

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

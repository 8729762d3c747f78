"""Grammars in llama.cpp's notation, GBNF, as Lark grammars in llguidance's dialect.

vLLM's ``grammar`` is either of the two, told apart by how rules are written: ``root ::= "a"`` or
``start: "a"``.
"""

from __future__ import annotations

import re
from typing import Final

from llguidance import gbnf_to_lark

MAX_CHARS: Final = 16_384
MAX_LINES: Final = 512
"""Of GBNF. What llguidance takes to translate it grows with the square of the lines: 0.1 s here."""

_LARK = re.compile(
    r"^[ \t]*(?:%llguidance\b|start(?:\.\d+)?[ \t]*(?:\[[^\]\n]*\])?[ \t]*:(?!:))", re.MULTILINE
)


def lark_of(text: str) -> str:
    """A Lark grammar of a text that is one, or is GBNF; whether it is a good one is not checked.

    Raises:
        ValueError: it is neither, or is GBNF of more characters or lines than are translated.
    """
    if _LARK.search(text):
        return text
    if "::=" not in text:
        raise ValueError(
            "is no grammar: it has neither a rule start, as Lark grammars do, nor one with ::=, "
            "as those of GBNF"
        )
    num_lines = text.count("\n") + 1
    if len(text) > MAX_CHARS or num_lines > MAX_LINES:
        raise ValueError(
            f"has {len(text)} characters in {num_lines} lines: in GBNF at most {MAX_CHARS} in "
            f"{MAX_LINES}; write it as a Lark grammar"
        )
    try:
        return gbnf_to_lark.gbnf_to_lark(text)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except Exception as error:  # noqa: BLE001 - a parser of another's, over a client's text
        reason = str(error).partition(" at line ")[0]
        raise ValueError(f"is not good GBNF: {reason[:80]}") from None

"""Markdown as rows of a terminal, block by block, so that what is finished is drawn once."""

from __future__ import annotations

import io
import re
from itertools import pairwise
from types import MappingProxyType
from typing import ClassVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Heading, Markdown, MarkdownElement
from rich.text import Text

SHOWN = MappingProxyType({"html_inline": "text", "softbreak": "hardbreak"})
"""Kinds of tokens that rich leaves out or runs together, and what they are drawn as."""
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


class LeftHeading(Heading):
    """A heading where the text is: rich would centre it, the first kind in a box."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text = Text("#" * int(self.tag[1:]) + " ", style="bold") + self.text
        text.stylize("bold")
        yield text


class AnswerMarkdown(Markdown):
    """Markdown of a model: nothing that it wrote is hidden.

    Links and pictures show where they lead, HTML is text, and a line break is one.
    """

    elements: ClassVar[dict[str, type[MarkdownElement]]] = Markdown.elements | {
        "heading_open": LeftHeading
    }

    def __init__(self, source: str) -> None:
        super().__init__(source, code_theme="ansi_dark", hyperlinks=False)
        for token in self.parsed:
            if token.type == "html_block":
                token.type, token.tag, token.info = "fence", "code", "html"
            for child in token.children or ():
                child.type = SHOWN.get(child.type, child.type)
                if child.type == "image":
                    child.type = "text"
                    child.content = f"![{child.content}]({child.attrs.get('src', '')})"


def blocks(source: str) -> list[str]:
    """The blocks of some Markdown (a paragraph, a list, a table, a fence), as they are written.

    Only the last one may still grow: a block is finished when another has begun below it
    (CommonMark 0.31, appendix "A parsing strategy"). None of an empty source.
    """
    starts = [
        token.map[0]
        for token in AnswerMarkdown(source).parsed
        if token.level == 0 and token.map is not None and token.nesting >= 0
    ]
    lines = source.split("\n")
    edges = [0, *starts[1:], len(lines)]
    found = ["\n".join(lines[begin:end]) for begin, end in pairwise(edges)]
    return [f"{block}\n" for block in found[:-1]] + found[-1:] if source else []


def rows(source: str, console: Console) -> list[str]:
    """The rows of a block, with the escape sequences of the console's colours.

    None is as wide as the terminal, whose cursor would hang between two rows behind such a one.
    """
    drawn = Console(
        file=io.StringIO(),
        width=max(20, console.width - 1),
        force_terminal=True,
        color_system=console.color_system,  # type: ignore[arg-type]  # one of the names it takes
        no_color=console.no_color,
        legacy_windows=False,
    )
    with drawn.capture() as capture:
        drawn.print(AnswerMarkdown(source))
    found = [row.rstrip() for row in capture.get().split("\n")]
    filled = [index for index, row in enumerate(found) if _STYLE.sub("", row).strip()]
    return found[filled[0] : filled[-1] + 1] if filled else []

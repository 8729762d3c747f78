"""The commands of a page, in order: its ``sh`` and ``python`` blocks, and which are not to be run.

A comment before a block keeps it from being run, and says why::

    <!-- not run: needs a cluster and a registry -->
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<why>[^\n]+?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
RUN = ("sh", "python")


@dataclass(frozen=True)
class Block:
    """What stands between two fences.

    Attributes:
        line: of the page, counted from 1, in which its first command is.
        language: the word behind the fence.
        not_run: the reason why it is not run; None for one that is.
    """

    line: int
    language: str
    text: str
    not_run: str | None = None


@dataclass(frozen=True)
class Command:
    """One command, of one line or more, or a whole program in Python.

    Attributes:
        line: of its page.
        not_run: as its block's.
    """

    line: int
    language: str
    text: str
    not_run: str | None = None

    @property
    def shown(self) -> str:
        """Its first line, without the comment behind it."""
        first = self.text.splitlines()[0]
        return re.sub(r"\s{2,}#.*| \\$", "", first).strip()


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page's text, those that are no commands too."""
    for match in _BLOCK.finditer(page):
        line = page.count("\n", 0, match.start("text")) + 1
        yield Block(line, match["language"], match["text"], match["why"])


def commands(page: Path) -> Iterator[Command]:
    """The page's commands, in the order in which a reader comes to them."""
    for block in blocks(page.read_text("utf-8")):
        if block.language == "python":
            yield Command(block.line, "python", block.text, block.not_run)
        elif block.language == "sh":
            yield from _of_shell(block)


def is_whole(text: str) -> bool:
    """Whether a shell would run this, and not ask for more."""
    told = subprocess.run(["bash", "-n", "-c", text], capture_output=True, check=False)
    return told.returncode == 0 and not text.rstrip().endswith("\\")


def _of_shell(block: Block) -> Iterator[Command]:
    begun: list[str] = []
    for number, line in enumerate(block.text.splitlines()):
        if not begun and (not line.strip() or line.startswith("#")):
            continue
        begun.append(line)
        text = "\n".join(begun)
        if is_whole(text):
            yield Command(block.line + number + 1 - len(begun), "sh", text, block.not_run)
            begun = []
    if begun:
        raise ValueError(f"line {block.line}: no whole command: {begun[0]}")

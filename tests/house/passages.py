"""What people read, cut into passages: pages of Markdown, and docstrings and messages of source.

A span is a text between backticks; a block is what stands between two fences of a page.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(`{1,2})((?:[^`\n]|\n(?!\s*\n))+?)\1")
_DOCSTRING_OR_COMMENT = re.compile(r'^ *""".*?"""|^ *#[^\n]*$', re.MULTILINE | re.DOTALL)
_HOLE = "X"
"""Stands for what an f-string puts in, as X and NAME do in examples."""


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A text and where it stands.

    Attributes:
        file: its path from the repository's root.
        line: the number of its first line.
        text: all of it, for prose; the inside of the fences, for a block.
        spans: of prose: what stands between backticks, each with its line.
        language: of a block: the word behind its fence.
        is_message: a string of a program, not a docstring: only what is surely a name counts.
    """

    file: str
    line: int
    text: str
    spans: tuple[tuple[int, str], ...] = field(default=())
    language: str | None = None
    is_message: bool = False

    @property
    def is_page(self) -> bool:
        """Prose of a page, not a drawing or a command in it, and not of a program."""
        return self.file.endswith(".md") and self.language is None


def of_page(file: str, text: str) -> Iterator[Passage]:
    """The blocks of a page, then its prose as one passage, in which blocks are blank lines."""
    prose = text
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start(3)) + 1
        yield Passage(file=file, line=line, text=match[3], language=match[2])
        blank = "\n" * match[0].count("\n")
        prose = prose.replace(match[0], blank, 1)
    yield _prose(Passage(file=file, line=1, text=prose))


def of_source(file: str, source: str) -> Iterator[Passage]:
    """The docstrings of a Python file, and its other strings as messages."""
    nodes = list(ast.walk(ast.parse(source)))
    docstrings = {id(node) for node in _docstrings(nodes)}
    parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        match node:
            case ast.Constant(value=str(text)) if id(node) not in parts:
                is_message = id(node) not in docstrings
                yield _prose(Passage(file=file, line=node.lineno, text=text, is_message=is_message))
            case ast.JoinedStr(values=values):
                text = "".join(v.value if isinstance(v, ast.Constant) else _HOLE for v in values)
                yield _prose(Passage(file=file, line=node.lineno, text=text, is_message=True))


def without_docstrings(source: str) -> str:
    """The source without its docstrings and lines of comment, for a search of names."""
    return _DOCSTRING_OR_COMMENT.sub("", source)


def newest_section(changelog: str) -> str:
    """The first section of a changelog; all before it is left out, its line breaks apart."""
    start = changelog.index("\n## ") + 1
    end = changelog.find("\n## ", start)
    return "\n" * changelog.count("\n", 0, start) + changelog[start : None if end < 0 else end]


def read(root: Path, path: Path) -> list[Passage]:
    """The passages of a file under the root."""
    file, text = path.relative_to(root).as_posix(), path.read_text("utf-8")
    if path.suffix == ".py":
        return list(of_source(file, text))
    return list(of_page(file, newest_section(text) if file == "CHANGELOG.md" else text))


def _prose(passage: Passage) -> Passage:
    spans = tuple(
        (passage.line + passage.text.count("\n", 0, match.start()), " ".join(match[2].split()))
        for match in _SPAN.finditer(passage.text)
    )
    return replace(passage, spans=spans)


def _docstrings(nodes: Iterable[ast.AST]) -> Iterator[ast.Constant]:
    """Those of modules, classes and functions, and the strings below an assignment."""
    for node in nodes:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in node.body:
                match statement:
                    case ast.Expr(value=ast.Constant(value=str()) as text):
                        yield text

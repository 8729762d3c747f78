"""Markdown on a terminal: what it looks like, that nothing is hidden, and where a block ends."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from serve.cli.chat.markdown_rows import blocks, rows

CONSOLE = Console(width=40, force_terminal=True, color_system="standard")


def plain(source: str) -> list[str]:
    return [re.sub(r"\x1b\[[0-9;]*m", "", row).rstrip() for row in rows(source, CONSOLE)]


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("**b** *i* `c` ~~s~~", ["b i c s"]),
        ("# One\n## Two", ["# One", "", "## Two"]),
        ("1. a\n2. b\n   - c", [" 1 a", " 2 b", "    • c"]),
        ("```python\nx = 1\n```", [" x = 1"]),
        ("| a | b |\n|---|---|\n| 1 | 2 |", [" a  b", " ────", " 1  2"]),
        ("one\ntwo", ["one", "two"]),
        ("[safe](http://evil.example)", ["safe (http://evil.example)"]),
        ("![p](http://a.example/p.png)", ["![p](http://a.example/p.png)"]),
        ("<think>\nhm\n</think>", [" <think>", " hm", " </think>"]),
        ("a <b>c</b> &amp; d", ["a <b>c</b> & d"]),
        ("[bold red]no markup[/]", ["[bold red]no markup[/]"]),
        ("", []),
    ],
)
def test_what_it_looks_like(source: str, shown: list[str]) -> None:
    assert plain(source) == shown


def test_rows_fit_the_terminal_whatever_the_script() -> None:
    for source in (
        "法国的首都是哪里？" * 9,
        "x" * 99,
        "```\n" + "y" * 99 + "\n```",
        "| a |\n|-|\n" * 9,
    ):
        assert all(cell_len(row) < 40 for row in plain(source))


def test_colours_are_the_console_s() -> None:
    bare = Console(width=40, force_terminal=True, no_color=True)
    assert any("36" in row for row in rows("`x`", CONSOLE))
    assert not any("36" in row for row in rows("`x`", bare))


@pytest.mark.parametrize(
    "found",
    [
        [],
        ["one"],
        ["one\n\n", "two"],
        ["- a\n- b\n\n"],
        ["- a\n\n", "one\n\n", "1. x"],
        ["```\n# no heading\n\n```"],
        ["```\nx\n```\n", "y"],
        ["# a\n", "b"],
        ["a\n\n", "b\u2028c\x0bd\n"],
        ["\n\none\n", "***\n", "two"],
        ["[a]: http://x\n"],
    ],
)
def test_blocks_are_what_is_drawn_by_itself(found: list[str]) -> None:
    assert blocks("".join(found)) == found

"""A page in Chinese has the commands and the links of its English one, in the same order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import RUN, blocks
from tests.house.tree import ROOT

PAIRS = {
    "README.md": "README.zh-CN.md",
    "docs/start/workstation.md": "docs/zh-CN/workstation.md",
    "docs/start/operator.md": "docs/zh-CN/operator.md",
}
"""Each English page that has a Chinese one."""
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")


def code(text: str) -> list[tuple[str, str]]:
    """What is typed, without the comments: those are translated."""
    return [
        (block.language, re.sub(r"\s+#[^\n]*$", "", block.text, flags=re.MULTILINE))
        for block in blocks(text)
        if block.language in RUN
    ]


def links(text: str, page: Path) -> list[str]:
    """Where its links lead, from the root; a link to the other language's page is one to this."""
    english = {chinese: page for page, chinese in PAIRS.items()}
    found = []
    for target in _LINK.findall(_CODE.sub("", text)):
        path = (page.parent / target).resolve().relative_to(ROOT).as_posix()
        found.append(english.get(path, path))
    return found


def names(text: str) -> list[str]:
    """What stands between backticks in the prose, sorted: words change places in a translation."""
    return sorted(set(_SPAN.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL))))


@pytest.mark.parametrize("page", PAIRS)
def test_a_translation_has_the_commands_links_and_names(page: str) -> None:
    english, chinese = (ROOT / page, ROOT / PAIRS[page])
    texts = [path.read_text("utf-8") for path in (english, chinese)]
    assert code(texts[0]) == code(texts[1])
    assert links(texts[0], english) == links(texts[1], chinese)
    assert names(texts[0]) == names(texts[1])


def test_every_chinese_page_has_an_english_one() -> None:
    here = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs/zh-CN").glob("*.md")}
    assert here | {"README.zh-CN.md"} == set(PAIRS.values())


def test_a_command_that_differs_is_found() -> None:
    english = "```sh\nmake serve   # starts\n```\n"
    assert code(english) == code(english.replace("starts", "启动"))
    assert code(english) != code(english.replace("make serve", "make test"))
    page = ROOT / "README.md"
    assert links("[a](docs/faq.md)", page) != links("[a](docs/tls.md)", page)
    assert links("[a](docs/start/operator.md)", page) == links("[a](docs/zh-CN/operator.md)", page)

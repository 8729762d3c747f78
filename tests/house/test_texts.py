"""Everything that people wrote: no notes to self, no paths of a developer's machine, live links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import ROOT, name_of, texts

# Put together here, so that this file does not break its own rules.
NOTES = re.compile("|".join(rf"\b{a}{b}\b" for a, b in (("TO", "DO"), ("FIX", "ME"), ("X", "XX"))))
MACHINE = re.compile(
    r"(?<![\w.$}~-])/(?:" + "|".join(("work", "root", "home/[a-z]+", "tmp/venv")) + r")(?![\w-])"
)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def notes(text: str) -> list[str]:
    return NOTES.findall(text)


def machine_paths(text: str) -> list[str]:
    return MACHINE.findall(text)


def dead_links(page: Path) -> Iterator[str]:
    """Relative links of a Markdown page that lead nowhere. Addresses are not followed."""
    for target in LINK.findall(CODE.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            continue
        if not (page.parent / target.partition("#")[0]).exists():
            yield target


def test_no_notes_to_self():
    assert [name_of(path) for path in texts() if notes(path.read_text("utf-8"))] == []


def test_no_paths_of_one_machine():
    found = {name_of(path): machine_paths(path.read_text("utf-8")) for path in texts()}
    assert {name: paths for name, paths in found.items() if paths} == {}


@pytest.mark.parametrize("text", ["# TO" + "DO: x", "FIX" + "ME", "x  # X" + "XX"])
def test_a_note_to_self_is_found(text):
    assert notes(text)


@pytest.mark.parametrize(
    "text", ["cd /wo" + "rk/main", "'/ro" + "ot/x'", "/tmp/ve" + "nv/bin", "(/home/" + "me)"]
)
def test_a_path_of_a_machine_is_found(text):
    assert machine_paths(text)


@pytest.mark.parametrize("text", ["~/.local", "a/root/b", "./root", "/v1/models", "/workers"])
def test_other_paths_are_fine(text):
    assert not machine_paths(text)


def pages() -> list[Path]:
    return [path for path in texts() if path.suffix == ".md"]


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_lead_somewhere(page):
    assert list(dead_links(page)) == []


def test_a_dead_link_is_found(tmp_path):
    page = tmp_path / "a.md"
    page.write_text("[x](b.md) [y](#z) [w](https://h/) ![i](a.md#k) `[c](no.md)`")
    assert list(dead_links(page)) == ["b.md"]


def test_the_pages_that_readers_need_are_there():
    names = {name_of(page) for page in pages()}
    assert {"CONTRIBUTING.md", "SECURITY.md", "docs/glossary.md"} <= names
    assert "Apache License" in (ROOT / "LICENSE").read_text("utf-8")

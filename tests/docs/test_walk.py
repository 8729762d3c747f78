"""The walk: quickly, that its pages' commands are some; under `make prove`, each for real."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs import walk
from tests.docs.blocks import Command, commands
from tests.docs.reader import Step
from tests.house.tree import ROOT
from tests.programs import skip_without_own_network

PAGES = [page for way in walk.WAYS.values() for page in way.pages]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_walked_page_is_one(page: str) -> None:
    """That its words parse, tests/house/test_names_in_docs.py says."""
    found = list(commands(ROOT / page))
    assert any(walk.why_not(command) is None for command in found)


def test_nothing_is_left_out_that_no_page_has() -> None:
    shown = {command.shown for page in PAGES for command in commands(ROOT / page)}
    assert set(walk.LEFT_OUT) <= shown
    assert all(any(text.startswith(known) for text in shown) for known in walk.MAY_FAIL)


def test_a_page_has_two_sides_only_where_a_gap_is_crossed() -> None:
    page = ROOT / "docs/air-gap.md"
    here, there = walk.sides(page, crosses=True)
    assert any("make bundle" in command.text for command in here)
    assert any("install.sh" in command.text for command in there)
    assert walk.sides(page, crosses=False) == (here + there, [])


def test_the_table_tells_what_failed_and_what_was_left_out() -> None:
    steps = [
        Step("a.md", Command(3, "sh", "make serve"), 2.5, 0, "log"),
        Step("a.md", Command(4, "sh", "make test")),
        Step("a.md", Command(5, "sh", "python -m serve doctor"), 1.0, 1, "finding"),
        Step("b.md", Command(1, "sh", "false"), 0.1, 1, "why"),
    ]
    told = walk.table(steps)
    assert [line.split("  ")[-1].strip() for line in told.splitlines() if "make" in line] == [
        "ok",
        "left out: is the suite itself",
    ]
    assert "FAILED 1" in told
    assert "| why" in told
    assert "| finding" not in told
    assert [walk.is_well(step) for step in steps] == [True, True, True, False]


@pytest.mark.parametrize("name", walk.WAYS)
def test_every_command_works(name: str, tmp_path: Path, is_proving: bool) -> None:
    if not is_proving:
        pytest.skip("takes minutes and, for the air gap, packages; run by `make prove`")
    if walk.WAYS[name].crosses:
        skip_without_own_network(walk.UNSHARE)
    with walk.stand_in_hub() as hub:
        walked = list(walk.walk(name, tmp_path, set_up=False, hub=hub))
    assert all(map(walk.is_well, walked)), walk.table(walked)

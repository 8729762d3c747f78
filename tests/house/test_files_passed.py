"""The ways that docs/architecture.md draws, file by file, are those that a request takes.

Each is run in a process of its own, which counts (files_passed.py).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests.house.tree import ROOT

PAGE = ROOT / "docs" / "architecture.md"


def passed(what: str) -> set[str]:
    """The files that were passed, as the program counted them."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.house.files_passed", what],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return set(json.loads(run.stdout.splitlines()[-1]))


def drawn(what: str) -> set[str]:
    """The files that the page draws in the block of that name."""
    page = PAGE.read_text("utf-8")
    block = page.split(f"```{what}\n")[1].split("```")[0]
    return set(re.findall(r"[a-z_]+/[a-z_/]+\.py|serve/timeline\.py", block))


def test_a_chat_takes_the_way_that_is_drawn() -> None:
    files = passed("chat-fake")
    engine = {name for name in files if name.startswith("serve/engine/")}
    assert files - engine == drawn("chat")
    assert "serve/engine/fake.py" in engine


@pytest.mark.parametrize(("engine", "most"), [("vllm", 99), ("transformers", 127)])
def test_an_engine_adds_a_few_files_of_its_own(engine: str, most: int, is_proving: bool) -> None:
    """Which of the transformers engine's kernels run depends on the processor."""
    if not is_proving:
        pytest.skip("starts the engine, up to a minute; run by `make prove`")
    assert len(passed(f"chat-{engine}")) <= most


def test_quantising_takes_the_way_that_is_drawn() -> None:
    assert passed("quantise") == drawn("quantise")


@pytest.mark.parametrize("what", ["chat", "quantise"])
def test_every_file_that_is_drawn_is_there(what: str) -> None:
    names = drawn(what)
    assert len(names) > 20
    assert [name for name in names if not (ROOT / name).is_file()] == []

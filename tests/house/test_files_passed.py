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
MOST_OF_AN_ENGINE = 16
"""Files of the transformers engine. Which of its kernels run depends on the processor."""


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
    files = passed("chat")
    engine = {name for name in files if name.startswith("serve/engine/")}
    assert files - engine == drawn("chat")
    assert 1 < len(engine) <= MOST_OF_AN_ENGINE


def test_a_chat_by_vllm_passes_thirty_files(is_proving: bool) -> None:
    if not is_proving:
        pytest.skip("starts vLLM, a minute; run by `make prove`")
    assert len(passed("chat-vllm")) <= 30


def test_quantising_takes_the_way_that_is_drawn() -> None:
    assert passed("quantise") == drawn("quantise")


@pytest.mark.parametrize("what", ["chat", "quantise"])
def test_every_file_that_is_drawn_is_there(what: str) -> None:
    names = drawn(what)
    assert len(names) > 20
    assert [name for name in names if not (ROOT / name).is_file()] == []

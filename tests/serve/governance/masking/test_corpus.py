"""Recall and false positives on texts whose generator shares nothing with the detectors."""

from __future__ import annotations

import ast
import time
from collections import Counter
from pathlib import Path

import pytest

from serve.governance.masking.detectors.catalogue import DETECTORS
from serve.governance.masking.scan import Hit, Scanner
from serve.governance.masking.stream import masked
from tests.serve.governance.masking.corpus.negatives import negatives
from tests.serve.governance.masking.corpus.positives import positives

SCANNER = Scanner(each for own in DETECTORS.values() for each in own)


def labelled(hit: Hit, _key: str, _value: str) -> str:
    return f"[{hit.detector.label}]"


@pytest.fixture(scope="session")
def scale(is_proving: bool) -> int:
    return 100 if is_proving else 1


def test_at_least_99_5_percent_are_found(scale: int) -> None:
    """The label stands for all of the data, and for nothing beside it."""
    texts = positives(max(300, 100 * scale))
    missed = Counter(
        each.kind
        for each in texts
        if masked(each.text, SCANNER, labelled) != f"{each.before}[{each.label}]{each.after}"
    )
    assert missed.total() <= 0.005 * len(texts), missed


def test_at_most_1_in_1000_is_found_that_is_none(scale: int) -> None:
    texts = negatives(500 if scale == 1 else 1000 * scale)
    found = Counter(kind for kind, text in texts if masked(text, SCANNER, labelled) != text)
    assert found.total() <= 0.001 * len(texts), found


def test_the_corpus_imports_nothing_of_ours() -> None:
    for path in (Path(__file__).parent / "corpus").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            names = (
                [name, *(a.name for a in node.names)] if isinstance(node, ast.Import) else [name]
            )
            assert not any(each.split(".")[0] in {"serve", "models"} for each in names), path


def test_two_megabytes_a_second(is_proving: bool) -> None:
    """Processor time of one core, on texts of which most look as if they had data."""
    if not is_proving:
        pytest.skip("a speed: `make prove` measures it")
    text = "\n".join([*(each.text for each in positives(500)), *(t for _, t in negatives(20_000))])
    masked("１", SCANNER, labelled)  # makes the table of characters
    began = time.process_time()
    masked(text, SCANNER, labelled)
    assert len(text.encode()) / (time.process_time() - began) > 2e6

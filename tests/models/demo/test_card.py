"""The model card and the record say what is true of the committed weights."""

from __future__ import annotations

import json
import re
from pathlib import Path

from models.demo import corpus, corpus_product, evaluate

RECORD = json.loads((evaluate.HERE / "training.json").read_text(encoding="utf-8"))
CARD = (evaluate.HERE / "README.md").read_text(encoding="utf-8")


def test_the_card_shows_the_recorded_scores() -> None:
    found = {key: (right, of) for key, (right, of) in RECORD["evaluation"].items()}
    assert evaluate.table(found) in CARD
    assert sum(of for key, (_, of) in found.items() if key != "all") == len(evaluate.read_items())


def test_the_card_counts_its_facts_and_questions() -> None:
    facts = corpus_product.facts()
    chinese = sum(f.name.endswith("-zh") for f in facts)
    assert f"{len(facts) - chinese} facts about Intramural, {chinese} of them in Chinese" in CARD
    assert f"{len(evaluate.read_items())} questions" in CARD


def test_the_record_is_complete() -> None:
    assert RECORD["losses"]
    assert RECORD["steps"] > 0
    assert RECORD["tokens"] > 0
    assert RECORD["corpus_seed"] == corpus.SEED
    assert {phase["mix"] for phase in RECORD["phases"]} == set(corpus.MIXES)
    assert RECORD["phases"][-1]["weights"] == corpus.MIXES["last"]


def test_the_files_that_the_card_names_exist() -> None:
    for name in re.findall(r"`([\w/]+\.(?:py|json|jsonl))`", CARD):
        assert (evaluate.HERE / name).exists(), name
    assert Path(evaluate.WEIGHTS).is_dir()

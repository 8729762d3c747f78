"""Score the weights on `eval.jsonl`: `python -m models.demo.evaluate`.

Answers are made by transformers, greedily, in left-padded batches. The figures are of this model
and these held-out phrasings; they say nothing about the server.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.demo.graders import grade

HERE = Path(__file__).parent
WEIGHTS = HERE / "weights"
EVAL = HERE / "eval.jsonl"
LONGEST_ANSWER = 72


@dataclass(frozen=True)
class Graded:
    """One item, the model's answer to it, and whether that is right."""

    item: dict[str, Any]
    answer: str
    right: bool


def read_items(path: Path = EVAL) -> list[dict[str, Any]]:
    """Read the evaluation's items."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def answers(weights: Path, items: list[dict[str, Any]], batch: int = 48) -> list[str]:
    """Answer every item greedily; the order of the items does not matter to the answers.

    The weights are computed with in float32: a batch's padding then changes no answer.
    """
    tokenizer = AutoTokenizer.from_pretrained(weights, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.float32).eval()
    prompts = [
        tokenizer.apply_chat_template(
            item["messages"], tools=item.get("tools"), tokenize=False, add_generation_prompt=True
        )
        for item in items
    ]
    end = tokenizer.eos_token
    texts_of_items = [""] * len(items)
    order = sorted(range(len(items)), key=lambda i: len(prompts[i]))
    for at in range(0, len(order), batch):
        chosen = order[at : at + batch]
        inputs = tokenizer(
            [prompts[i] for i in chosen],
            return_tensors="pt",
            padding=True,
            add_special_tokens=False,
        )
        with torch.inference_mode():
            out = model.generate(**inputs, max_new_tokens=LONGEST_ANSWER, do_sample=False)
        texts = tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1] :])
        for i, text in zip(chosen, texts, strict=True):
            texts_of_items[i] = text.split(end)[0]
    return texts_of_items


def evaluate(weights: Path = WEIGHTS, path: Path = EVAL) -> list[Graded]:
    """Answer and grade every item."""
    items = read_items(path)
    texts = answers(weights, items)
    return [Graded(i, a, grade(a, i["expect"])) for i, a in zip(items, texts, strict=True)]


def scores(graded: list[Graded]) -> dict[str, tuple[int, int]]:
    """Right answers and items by category, then over "all"."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for answer in graded:
        for key in (answer.item["category"], "all"):
            counts[key][0] += answer.right
            counts[key][1] += 1
    total = counts.pop("all")
    return {key: (right, of) for key, (right, of) in (*counts.items(), ("all", total))}


def table(shares: dict[str, tuple[int, int]]) -> str:
    """The scores as a Markdown table."""
    rows = ["| category | right | items | share |", "|---|--:|--:|--:|"]
    rows += [f"| {key} | {r} | {of} | {r / of:.1%} |" for key, (r, of) in shares.items()]
    return "\n".join(rows)


def record(shares: dict[str, tuple[int, int]], path: Path = HERE / "training.json") -> None:
    """Write the scores beside the recipe that they come from."""
    facts = json.loads(path.read_text(encoding="utf-8"))
    facts["evaluation"] = {key: list(value) for key, value in shares.items()}
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Print the table, or one JSON object; with --wrong the wrong answers as well."""
    parser = argparse.ArgumentParser(prog="python -m models.demo.evaluate", description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the weights")
    parser.add_argument("--items", type=Path, default=EVAL, help="the questions, as JSON lines")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--wrong", action="store_true", help="list the wrong answers on stderr")
    parser.add_argument("--record", action="store_true", help="write them into training.json too")
    args = parser.parse_args()
    graded = evaluate(args.weights, args.items)
    if args.wrong:
        for answer in (g for g in graded if not g.right):
            question = answer.item["messages"][-1]["content"]
            sys.stderr.write(f"{answer.item['id']}: {question!r} -> {answer.answer!r}\n")
    shares = scores(graded)
    if args.record:
        record(shares)
    if args.json:
        print(json.dumps({key: {"right": r, "items": of} for key, (r, of) in shares.items()}))
    else:
        print(table(shares))


if __name__ == "__main__":
    main()

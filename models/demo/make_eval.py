"""Write `eval.jsonl` from the held-out phrasings and pairs: `python -m models.demo.make_eval`.

It depends on the data files and a seed alone; a test checks that the file is what this writes.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

from models.demo import (
    corpus_copying,
    corpus_objects,
    corpus_plain,
    corpus_product,
    corpus_sums,
    corpus_tools,
)
from models.demo.conversation import Conversation, Turn, load

SEED = 99
PATH = Path(__file__).parent / "eval.jsonl"
COUNTS = {"sums": 80, "copying": 24, "json": 30, "plain": 36, "call": 30, "result": 20, "name": 6}


def _single(rng: random.Random, turn: Turn) -> Conversation:
    messages: list[dict[str, Any]] = [{"role": "user", "content": turn.question}]
    if rng.random() < 0.12:
        system = rng.choice(load("systems")["held_out"])
        messages.insert(0, {"role": "system", "content": system})
    return Conversation(turn.category, messages, expect=turn.expect)


def _product(rng: random.Random) -> list[Turn]:
    """Every written-out held-out phrasing, and for each fact one of the framed ones."""
    turns: list[Turn] = []
    for fact in corpus_product.facts():
        written, framed = fact.held_out[: fact.written], fact.held_out[fact.written :]
        expect = {"terms": list(fact.must)}
        questions = (*written, *rng.sample(framed, min(1, len(framed))))
        turns += [Turn("product", question, fact.answer, expect) for question in questions]
    return turns


def _plain(rng: random.Random) -> list[Turn]:
    turns: dict[str, Turn] = {}
    while len(turns) < COUNTS["plain"]:
        table = rng.choices(list(load("plain").values()), [3, 1, 1, 1, 1, 1, 1, 1])[0]
        key, value = rng.choice(list(table["pairs"].items()))
        turn = corpus_plain.fact_turn(table, rng.choice(table["held_out"]), key, value)
        turns[turn.question] = turn
    return list(turns.values())


def _smalltalk() -> list[Turn]:
    return [
        Turn("smalltalk", question, talk["answer"], {"terms": talk["must"]})
        for talk in load("smalltalk").values()
        for question in talk["held_out"]
    ]


def items(seed: int = SEED) -> list[Conversation]:
    """Every item of the evaluation; the last message is the one that the model must answer."""
    rng = random.Random(seed)
    turns = _product(rng) + _plain(rng) + _smalltalk()
    turns += [corpus_sums.make(rng, "held_out", held_out=True) for _ in range(COUNTS["sums"])]
    turns += [corpus_copying.turn(rng, "held_out") for _ in range(COUNTS["copying"])]
    turns += [corpus_objects.turn(rng, "held_out") for _ in range(COUNTS["json"])]
    conversations = [_single(rng, turn) for turn in turns]
    for _ in range(COUNTS["name"]):
        talk = corpus_copying.name_conversation(rng, [], "held_out")
        conversations.append(Conversation("copying", talk.messages[:-1], expect=talk.expect))
    names = list(load("tools"))
    for n in range(COUNTS["call"] + COUNTS["result"]):
        name = names[n % len(names)]
        messages, chosen, terms = corpus_tools.exchange(rng, name, "held_out")
        tools = corpus_tools.offered(rng, name)
        expected: dict[str, Any] = {"call": {"name": name, "arguments": chosen}}
        if n < COUNTS["call"]:
            conversations.append(Conversation("tool call", messages[:1], tools, expected))
        else:
            conversations.append(Conversation("tool result", messages[:3], tools, {"terms": terms}))
    return conversations


def lines(seed: int = SEED) -> list[str]:
    """The lines of `eval.jsonl`, one item each."""
    counts: dict[str, int] = {}
    rows = []
    for item in items(seed):
        counts[item.category] = counts.get(item.category, 0) + 1
        record = {
            "id": f"{item.category.replace(' ', '-')}-{counts[item.category]:03d}",
            "category": item.category,
            "messages": item.messages,
            **({"tools": item.tools} if item.tools else {}),
            "expect": item.expect,
        }
        rows.append(json.dumps(record, ensure_ascii=False))
    return rows


def _last_question(line: str) -> str:
    return str(json.loads(line)["messages"][-1]["content"])


def main() -> None:
    """Write the evaluation, or another draw of held-out questions to check it against."""
    parser = argparse.ArgumentParser(prog="python -m models.demo.make_eval", description=__doc__)
    parser.add_argument(
        "--seed", type=int, default=SEED, help="another seed draws questions not in eval.jsonl"
    )
    parser.add_argument("--output", type=Path, default=PATH, help="file to write")
    args = parser.parse_args()
    rows = lines(args.seed)
    if args.seed != SEED:
        known = {_last_question(line) for line in lines()}
        rows = [line for line in rows if _last_question(line) not in known]
    args.output.write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

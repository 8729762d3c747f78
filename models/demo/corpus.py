"""The corpus: an endless row of shards, each of which depends on its number and the mix alone.

The generator never reads `eval.jsonl`. The evaluation is kept apart by construction: it uses the
`held_out` phrasings of the data files and the number pairs of `corpus_sums.is_held_out`, and the
generator uses neither.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from models.demo import (
    corpus_copying,
    corpus_objects,
    corpus_plain,
    corpus_product,
    corpus_sums,
    corpus_tools,
)
from models.demo.conversation import Conversation, Turn, load

SEED = 2024
SHARD_SIZE = 20_000
MIXES = {
    "start": {
        "sums": 50,
        "copying": 20,
        "product": 12,
        "tools": 6,
        "json": 6,
        "plain": 4,
        "smalltalk": 2,
    },
    "main": {
        "sums": 34,
        "copying": 8,
        "product": 24,
        "tools": 15,
        "json": 8,
        "plain": 7,
        "smalltalk": 4,
    },
    "late": {
        "sums": 40,
        "copying": 7,
        "product": 22,
        "tools": 15,
        "json": 10,
        "plain": 4,
        "smalltalk": 2,
    },
    "last": {
        "sums": 27,
        "copying": 6,
        "product": 38,
        "tools": 12,
        "json": 8,
        "plain": 4,
        "smalltalk": 5,
    },
}
TURNS: dict[str, Callable[[random.Random], Turn]] = {
    "sums": corpus_sums.turn,
    "copying": corpus_copying.turn,
    "product": corpus_product.turn,
    "json": corpus_objects.turn,
    "plain": corpus_plain.plain,
    "smalltalk": corpus_plain.smalltalk,
}
# How often a conversation of a mix has many turns, so that distances grow beyond a few questions.
LONG = {"late": 0.06}


def _turns(rng: random.Random, mix: dict[str, int], count: int) -> list[Turn]:
    kinds = {k: w for k, w in mix.items() if k in TURNS}
    chosen = rng.choices(list(kinds), weights=list(kinds.values()), k=count)
    return [TURNS[kind](rng) for kind in chosen]


def _conversation(rng: random.Random, mix: dict[str, int], long: float) -> Conversation:
    kind = rng.choices(list(mix), weights=list(mix.values()))[0]
    if long and rng.random() < long:
        turns = _turns(rng, mix, rng.randint(4, 9))
        return Conversation(turns[-1].category, corpus_copying.as_messages(turns))
    if kind == "tools":
        talk = corpus_tools.conversation(rng)
        if rng.random() < 0.12:
            others = _turns(rng, mix, 1)
            if others[0].category != "sums":
                talk = Conversation("plain", corpus_copying.as_messages(others), talk.tools)
    elif kind == "copying" and rng.random() < 0.15:
        talk = corpus_copying.name_conversation(rng, _turns(rng, mix, rng.choice((0, 0, 1, 2))))
    else:
        turns = [TURNS[kind](rng)]
        if rng.random() < 0.15:
            turns = [*_turns(rng, mix, rng.choice((1, 1, 2, 3))), *turns]
        talk = Conversation(kind, corpus_copying.as_messages(turns))
    if rng.random() < 0.1:
        system = {"role": "system", "content": rng.choice(load("systems")["train"])}
        return Conversation(talk.category, [system, *talk.messages], talk.tools, talk.expect)
    return talk


def shard(number: int, mix: str = "main", size: int = SHARD_SIZE) -> list[Conversation]:
    """Make one shard; equal arguments give equal conversations on every machine."""
    rng = random.Random(f"{SEED}/{mix}/{number}")
    return [_conversation(rng, MIXES[mix], LONG.get(mix, 0.0)) for _ in range(size)]

"""Copying: repeating words, picking the first or last, and remembering a name."""

from __future__ import annotations

import random

from models.demo import corpus_words as words
from models.demo.conversation import Conversation, Turn, load

TASKS = {
    "train": ("repeat", "repeat", "repeat", "first", "last", "twice", "twice"),
    "held_out": ("repeat", "repeat", "repeat", "first", "last", "twice"),
}


def _words(rng: random.Random, most: int) -> list[str]:
    pick = rng.choice((words.word, words.word, words.name, words.city))
    count = rng.randint(1, most)
    return [str(words.number(rng)) if rng.random() < 0.1 else pick(rng) for _ in range(count)]


def turn(rng: random.Random, frames: str = "train") -> Turn:
    """Repeat some words, or say the first or the last of them."""
    task = rng.choice(TASKS[frames])
    chosen = _words(rng, 3 if task == "twice" else 7)
    text = " ".join(chosen)
    first, last = text.split(" ")[0], text.split(" ")[-1]
    form = load("copying")[task]
    answer = form["answer"].format(x=text, first=first, last=last)
    return Turn("copying", rng.choice(form[frames]).format(x=text), answer, {"text": answer})


def name_turns(rng: random.Random, frames: str = "train") -> tuple[Turn, Turn]:
    """A user who gives a name, and asks for it later."""
    name = words.name(rng)
    data = load("copying")
    introduction, question = data["name"], data["name_asked"]
    return (
        Turn(
            "copying",
            rng.choice(introduction[frames]).format(x=name),
            introduction["answer"].format(x=name),
        ),
        Turn(
            "copying",
            rng.choice(question[frames]),
            question["answer"].format(x=name),
            {"terms": [name]},
        ),
    )


def as_messages(turns: list[Turn]) -> list[dict[str, str]]:
    """Questions and answers in turn, as messages."""
    pairs = [("user", t.question, "assistant", t.answer) for t in turns]
    return [{"role": role, "content": text} for p in pairs for role, text in (p[:2], p[2:])]


def name_conversation(
    rng: random.Random, between: list[Turn], frames: str = "train"
) -> Conversation:
    """A conversation in which a name is given, other turns may follow, and it is asked for."""
    introduction, question = name_turns(rng, frames)
    return Conversation(
        "copying", as_messages([introduction, *between, question]), expect=question.expect
    )

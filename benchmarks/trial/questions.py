"""Questions to a model, and patterns of answers that will do.

Easy on purpose: a model of 135 million parameters knows most of it. What it does not know says
nothing about this server, unless its full weights knew.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question, for models that chat and for those that only go on with a text.

    Attributes:
        chat: said by a user.
        text: to be continued.
        expected: a pattern that is searched for in the answer.
    """

    name: str
    chat: str
    text: str
    expected: str

    def is_answered_by(self, answer: str) -> bool:
        return re.search(self.expected, answer, re.IGNORECASE) is not None


CHINESE = r"[\u4e00-\u9fff]"
_ROWS = (
    # name, chat, text, expected
    (
        "english: capital",
        "What is the capital of France?",
        "The capital of Germany is Berlin. The capital of France is",
        r"\bParis\b",
    ),
    (
        "english: sum",
        "What is 2 + 3?",
        "1 + 1 = 2, 2 + 2 = 4, 2 + 3 =",
        r"\b5\b|\bfive\b",
    ),
    (
        "english: colour",
        "What color is the sky on a clear day?",
        "On a clear day the color of the sky is",
        r"\bblue\b",
    ),
    (
        "english: code",
        "Write a Python function add(a, b) that returns the sum of its arguments.",
        "def add(a, b):\n    # Return the sum of a and b.\n    return",
        r"\ba\s*\+\s*b\b|\bsum\(",
    ),
    (
        "chinese: language",
        "你好！请用中文介绍一下北京。",
        "北京是中华人民共和国的首都，",
        rf"{CHINESE}(?:.*{CHINESE}){{7}}",
    ),
    (
        "chinese: capital",
        "中国的首都是哪座城市？",
        "法国的首都是巴黎。中国的首都是",
        "北京",
    ),
    (
        "chinese: year",
        "一年有几个月？",
        "一天有二十四个小时，一年有",
        "12|十二",
    ),
    (
        "chinese: thanks",
        "“谢谢”用英语怎么说？",
        "“谢谢”用英语说是“",
        r"\bthank",
    ),
)
QUESTIONS = tuple(
    Question(name=name, chat=chat, text=text, expected=expected)
    for name, chat, text, expected in _ROWS
)

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "get_current_weather",
            "description": "Get the current weather of a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "description": "Name of the city"}},
                "required": ["city"],
            },
        },
    }
]
TOOL_QUESTION = Question(
    name="tools",
    chat="What is the weather in Berlin right now?",
    text="",
    expected="get_current_weather",
)

NUMBER = "4917"
FACT = f"The number of the patient's room is {NUMBER}. Remember this room number.\n\n"
LONG_QUESTION = "What is the number of the patient's room? Answer with the number."
LONG_ENDING = "The number of the patient's room, as it was said at the beginning, is"
_PLACES = ("the ward", "the kitchen", "the archive", "the courtyard", "the library", "the workshop")
_DEEDS = (
    "the lamps were lit one after another",
    "somebody had left a window open to the rain",
    "two people talked quietly about the harvest",
    "a clock struck, and nobody counted the strokes",
    "the floor was swept before the visitors came",
)


def filler(num_sentences: int) -> str:
    """A dull story: no two sentences in a row are alike, and no numbers are in it."""
    sentences = []
    for number in range(num_sentences):
        place = _PLACES[number % len(_PLACES)]
        deed = _DEEDS[number * 3 % len(_DEEDS)]
        sentences.append(f"In {place} {deed}, and the day went on as days do.")
    return " ".join(sentences)

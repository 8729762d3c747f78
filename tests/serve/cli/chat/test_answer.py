from __future__ import annotations

from typing import Any

import pytest

from serve.cli.chat.answer import Answer


def answer(*, at: tuple[float, ...] = (10.5, 12.5), **changes: Any) -> Answer:
    """An answer to what was asked at 10 s, whose pieces came at these times."""
    fields: dict[str, Any] = {"usage": {"completion_tokens": 11}, "finish_reason": "stop"}
    made = Answer(model="demo", sent_at=10.0, ended_at=13.0, **fields | changes)
    for moment in at:
        made.text_came("x", moment)
    return made


def test_the_times_are_by_the_project_s_formulas() -> None:
    made = answer()
    assert made.text == "xx"
    assert (made.ttft_s, made.duration_s) == (0.5, 3.0)
    assert made.tokens_per_s == 10 / 2.0, "the first token's time is not the others'"
    assert made.summary == "11 tokens · TTFT 500 ms · 5.0 tok/s · 3.00 s"
    assert made.as_json() == {
        "model": "demo",
        "answer": "xx",
        "finish_reason": "stop",
        "stopped": False,
        "usage": {"completion_tokens": 11},
        "ttft_s": 0.5,
        "tokens_per_s": 5.0,
        "duration_s": 3.0,
    }


@pytest.mark.parametrize(
    ("changes", "summary"),
    [
        ({"usage": None}, "TTFT 500 ms · 3.00 s"),
        ({"usage": {"completion_tokens": "many"}}, "TTFT 500 ms · 3.00 s"),
        ({"usage": {"completion_tokens": 1}}, "1 token · TTFT 500 ms · 3.00 s"),
        ({"at": (10.5,)}, "11 tokens · TTFT 500 ms · 3.00 s"),
        ({"at": (10.5, 10.505)}, "11 tokens · TTFT 500 ms · 3.00 s"),
        ({"at": (10.5, 10.6)}, "11 tokens · TTFT 500 ms · 100 tok/s · 3.00 s"),
        ({"at": (), "was_stopped": True, "usage": None}, "stopped · 3.00 s"),
        (
            {"finish_reason": "length"},
            "11 tokens · TTFT 500 ms · 5.0 tok/s · 3.00 s · cut short: no more tokens were allowed",
        ),
    ],
)
def test_what_is_not_known_is_left_out(changes: dict[str, Any], summary: str) -> None:
    assert answer(**changes).summary == summary

"""Each check on a server of a few lines: what is right, what is skipped, and what is at fault."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from benchmarks.trial import checks, questions
from benchmarks.trial.asking import Answer, AskError
from benchmarks.trial.checks import TrialState
from benchmarks.trial.findings import Check, Outcome

CARD = {"max_model_len": 2048, "quantization": "int8", "digest": "sha256:" + "1" * 64}
QUALITY = {"kl_mean": 0.01, "top1": 0.97, "perplexity_ratio": 1.01, "is_enough": True}


@dataclass
class Server:
    """An asker whose server answers as these fields say."""

    answer: str = "Paris"
    card_: dict[str, Any] = field(default_factory=lambda: dict(CARD))
    refusals: dict[str, str] = field(default_factory=dict)
    tool_tokens: int = 40
    miscount: int = 0
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def card(self) -> dict[str, Any]:
        return self.card_

    def refusal(self, route: str, _: dict[str, Any]) -> str | None:
        return self.refusals.get(route)

    def count(self, *, prompt: str = "", messages: Any = (), tools: Any = ()) -> list[int]:
        text = prompt or messages[0]["content"]
        return list(range(len(text.split()) + (self.tool_tokens if tools else 0)))

    def chat(self, text: str, *, max_tokens: int = 64, tools: Any = ()) -> Answer:
        self.asked.append(("chat", text))
        prompt = self.count(messages=[{"content": text}], tools=tools)
        return self._answer(len(prompt), max_tokens)

    def complete(self, prompt: str, *, max_tokens: int = 64, **_: Any) -> Answer:
        self.asked.append(("complete", prompt))
        return self._answer(len(self.count(prompt=prompt)), max_tokens)

    def next_tokens(self, prompts: list[list[int]]) -> list[str]:
        return [f"t{len(prompt)}" for prompt in prompts]

    def _answer(self, num_prompt: int, max_tokens: int) -> Answer:
        return Answer(
            text=self.answer,
            finish_reason="length",
            prompt_tokens=num_prompt + self.miscount,
            completion_tokens=max_tokens,
            first_s=2.0,
            last_s=4.0,
        )


def run(name: str, server: Server, **seen: Any) -> tuple[list[Check], TrialState]:
    state = TrialState(**{"scheme": "int8", "max_model_len": 2048, "has_template": True, **seen})
    look = dict(checks.all_checks())[name]
    return checks.run_check(name, look, server, state), state


def outcomes(found: list[Check]) -> list[tuple[str, str]]:
    return [(check.name, str(check.outcome)) for check in found]


def test_names_are_unique_and_the_card_comes_first() -> None:
    names = [name for name, _ in checks.all_checks()]
    assert len(names) == len(set(names))
    assert names[:2] == ["card", "template"]


@pytest.mark.parametrize(
    ("card", "wanted"),
    [
        ({"quality": QUALITY}, [("card", "ok"), ("quality", "ok")]),
        ({}, [("card", "ok"), ("quality", "skipped")]),
        ({"quality": QUALITY | {"is_enough": False}}, [("card", "ok"), ("quality", "fault")]),
        ({"quantization": "none"}, [("card", "fault"), ("quality", "skipped")]),
        ({"digest": None}, [("card", "fault"), ("quality", "skipped")]),
    ],
)
def test_the_card_names_scheme_digest_and_quality(card, wanted) -> None:
    found, seen = run("card", Server(card_=CARD | card))
    assert outcomes(found) == wanted
    assert seen.max_model_len == 2048


def test_full_weights_have_no_quality_to_show() -> None:
    found, _ = run("card", Server(card_=CARD | {"quantization": "none"}), scheme="none")
    assert outcomes(found) == [("card", "ok")]


@pytest.mark.parametrize(
    ("message", "outcome", "has_template"),
    [
        (None, "ok", True),
        ("It has no template: use /v1/completions.", "ok", False),
        ("no", "fault", False),
    ],
)
def test_chat_without_a_template_is_refused_with_what_to_do(message, outcome, has_template) -> None:
    refusals = {} if message is None else {"/v1/chat/completions": message}
    found, seen = run("template", Server(refusals=refusals), has_template=False)
    assert outcomes(found) == [("template", outcome)]
    assert seen.has_template is has_template


@pytest.mark.parametrize(
    ("server", "outcome", "detail"),
    [
        (Server(), "ok", ""),
        (Server(answer="Lyon"), "weak", ""),
        (Server(answer=" \n"), "fault", "no text in"),
        (Server(miscount=2), "fault", "/tokenize 6"),
    ],
)
def test_a_question_tells_a_weak_model_from_a_faulty_server(server, outcome, detail) -> None:
    (check,), _ = run("english: capital", server)
    assert (str(check.outcome), check.said) == (outcome, server.answer)
    assert detail in check.detail


def test_a_model_without_a_template_goes_on_with_a_text() -> None:
    server = Server()
    run("english: capital", server, has_template=False)
    assert server.asked == [("complete", questions.QUESTIONS[0].text)]


@pytest.mark.parametrize(
    ("server", "facts", "outcome"),
    [
        (Server(answer="get_current_weather"), {}, "ok"),
        (Server(answer="sunny"), {}, "weak"),
        (Server(tool_tokens=0), {}, "fault"),
        (Server(refusals={"/tokenize": "the template does not render tools"}), {}, "skipped"),
        (Server(refusals={"/tokenize": "broken"}), {}, "fault"),
        (Server(), {"has_template": False}, "skipped"),
    ],
)
def test_tools_are_in_the_prompt_or_refused_clearly(server, facts, outcome) -> None:
    found, _ = run("tools", server, **facts)
    assert outcomes(found) == [("tools", outcome)]


def test_a_long_prompt_fits_into_the_context_and_holds_the_fact() -> None:
    server = Server(answer=questions.NUMBER)
    (check,), seen = run("long prompt", server, long_tokens=100_000)
    assert check.outcome is Outcome.OK
    text = server.asked[0][1]
    assert text.startswith(questions.FACT)
    assert 1000 < len(text.split()) < 2048
    assert seen.figures == {"prefill_tokens_s": len(text.split()) / 2, "long_ttft_s": 2.0}


@pytest.mark.parametrize(
    ("facts", "detail"),
    [({"long_tokens": 0}, "left out"), ({"long_tokens": 600, "max_model_len": 200}, "200 tokens")],
)
def test_a_long_prompt_that_has_no_place_is_left_out(facts, detail) -> None:
    (check,), _ = run("long prompt", Server(), **facts)
    assert check.outcome is Outcome.SKIPPED
    assert detail in check.detail


def test_speed_is_of_the_second_answer_which_must_be_whole() -> None:
    server = Server()
    (check,), seen = run("speed", server)
    assert (check.outcome, len(server.asked)) == (Outcome.OK, 2)
    assert seen.figures["decode_tokens_s"] == (checks.SPEED_TOKENS - 1) / 2


def test_next_tokens_are_asked_for_at_so_many_places_of_every_text() -> None:
    _, seen = run("next tokens", Server())
    assert 0 < len(seen.next_tokens) <= 3 * checks.NUM_PLACES
    assert seen.next_tokens[0] == f"t{checks.SHORTEST}"


@pytest.mark.parametrize("error", [AskError("status 500: broken"), httpx.ReadTimeout("")])
def test_a_server_that_cannot_be_understood_is_at_fault(error) -> None:
    def look(*_: object):
        yield Check(name="first", outcome=Outcome.OK)
        raise error

    found = checks.run_check("tools", look, Server(), TrialState(scheme="none"))
    assert outcomes(found) == [("first", "ok"), ("tools", "fault")]
    assert found[1].detail

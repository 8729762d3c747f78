"""The checks of a trial, in order, from the model's card to the speed. One function for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import httpx

from benchmarks.trial import questions
from benchmarks.trial.asking import Answer, Asker, AskError
from benchmarks.trial.findings import Check, Outcome
from benchmarks.trial.questions import Question
from quantize.measuring import texts

SHORTEST, EVERY, NUM_PLACES = 16, 4, 16
"""Of each built-in text: how much goes before the first place, how far apart the places are, and
how many there are."""
SPEED_TOKENS = 64
MARGIN = 128
"""Tokens of the context that a long prompt leaves free."""
LEAST_LONG = 256


@dataclass(slots=True, kw_only=True)
class TrialState:
    """The request for a trial, and what its checks fill in.

    Attributes:
        scheme: that the server was asked for.
        long_tokens: of the long prompt, at most; 0 leaves it out.
        max_model_len: from the card.
        has_template: chat is answered.
    """

    scheme: str
    long_tokens: int = 0
    card: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    next_tokens: list[str] = field(default_factory=list)
    max_model_len: int = 0
    has_template: bool = False


Inspection: TypeAlias = Callable[[Asker, TrialState], Iterator[Check]]


def all_checks() -> list[tuple[str, Inspection]]:
    """All checks, in order: each may need what those before it saw."""
    question_checks = [
        (question.name, partial(_question, question)) for question in questions.QUESTIONS
    ]
    return [
        ("card", _card),
        ("template", _template),
        *question_checks,
        ("tools", _tools),
        ("long prompt", _long),
        ("speed", _speed),
        ("next tokens", _places),
    ]


def run_check(name: str, inspect: Inspection, asker: Asker, state: TrialState) -> list[Check]:
    """Run one check. A server that cannot be understood is at fault, and the next check follows."""
    checks: list[Check] = []
    try:
        checks.extend(inspect(asker, state))
    except (AskError, httpx.HTTPError) as error:
        detail = str(error) or type(error).__name__
        checks.append(Check(name=name, outcome=Outcome.FAULT, detail=detail))
    return checks


def _card(asker: Asker, state: TrialState) -> Iterator[Check]:
    state.card = asker.card()
    state.max_model_len = int(state.card["max_model_len"])
    says = str(state.card["quantization"])
    is_right = says == state.scheme and str(state.card["digest"]).startswith("sha256:")
    yield Check(
        name="card",
        outcome=Outcome.OK if is_right else Outcome.FAULT,
        detail=f"{says}, {str(state.card['digest'])[:19]}",
    )
    if state.scheme == "none":
        return
    quality = state.card.get("quality")
    if quality is None:
        yield Check(name="quality", outcome=Outcome.SKIPPED, detail="nobody measured it")
        return
    line = (
        f"KL {quality['kl_mean']:.4f}, same token {quality['top1']:.1%}, perplexity × "
        f"{quality['perplexity_ratio']:.3f}"
    )
    enough = Outcome.OK if quality["is_enough"] else Outcome.FAULT
    yield Check(name="quality", outcome=enough, detail=line)


def _template(asker: Asker, state: TrialState) -> Iterator[Check]:
    """Without a template chat has to be refused, in words that say what to do instead."""
    body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    message = asker.refusal("/v1/chat/completions", body)
    state.has_template = message is None
    if message is None:
        yield Check(name="template", outcome=Outcome.OK, detail="takes messages")
        return
    is_clear = "/v1/completions" in message
    yield Check(name="template", outcome=Outcome.OK if is_clear else Outcome.FAULT, detail=message)


def _question(question: Question, asker: Asker, state: TrialState) -> Iterator[Check]:
    if state.has_template:
        answer = asker.chat(question.chat, max_tokens=48)
        prompt: dict[str, Any] = {"messages": [{"role": "user", "content": question.chat}]}
    else:
        answer = asker.complete(question.text, max_tokens=32)
        prompt = {"prompt": question.text}
    yield _answered(question.name, question, answer, len(asker.count(**prompt)))


def _tools(asker: Asker, state: TrialState) -> Iterator[Check]:
    question = questions.TOOL_QUESTION
    if not state.has_template:
        yield Check(name="tools", outcome=Outcome.SKIPPED, detail="no chat template")
        return
    messages = [{"role": "user", "content": question.chat}]
    message = asker.refusal("/tokenize", {"messages": messages, "tools": questions.TOOLS})
    if message is not None:
        is_clear = "does not render tools" in message
        outcome = Outcome.SKIPPED if is_clear else Outcome.FAULT
        yield Check(name="tools", outcome=outcome, detail=message)
        return
    without_tools = asker.count(messages=messages)
    with_tools = asker.count(messages=messages, tools=questions.TOOLS)
    if len(with_tools) <= len(without_tools):
        detail = "they are accepted and not in the prompt"
        yield Check(name="tools", outcome=Outcome.FAULT, detail=detail)
        return
    answer = asker.chat(question.chat, tools=questions.TOOLS)
    answered = _answered("tools", question, answer, len(with_tools))
    more = f"{len(with_tools) - len(without_tools)} tokens of tools in the prompt"
    yield Check(
        name="tools", outcome=answered.outcome, detail=answered.detail or more, said=answered.said
    )


def _long(asker: Asker, state: TrialState) -> Iterator[Check]:
    """A fact at the beginning, asked for at the end."""
    length = min(state.long_tokens, state.max_model_len - MARGIN)
    if length < LEAST_LONG:
        detail = (
            "left out"
            if state.long_tokens < LEAST_LONG
            else f"{state.max_model_len} tokens at most"
        )
        yield Check(name="long prompt", outcome=Outcome.SKIPPED, detail=detail)
        return
    hundred = len(asker.count(prompt=questions.filler(100)))
    story = questions.FACT + questions.filler(max(1, (length - MARGIN) * 100 // hundred))
    question = Question(name="long prompt", chat="", text="", expected=questions.NUMBER)
    if state.has_template:
        answer = asker.chat(f"{story}\n\n{questions.LONG_QUESTION}", max_tokens=24)
    else:
        answer = asker.complete(f"{story}\n\n{questions.LONG_ENDING}", max_tokens=8)
    if answer.first_s is not None:
        state.figures["prefill_tokens_s"] = answer.prompt_tokens / answer.first_s
        state.figures["long_ttft_s"] = answer.first_s
    answered = _answered("long prompt", question, answer, None)
    detail = answered.detail or f"{answer.prompt_tokens:,} tokens"
    yield Check(name=answered.name, outcome=answered.outcome, detail=detail, said=answered.said)


def _speed(asker: Asker, state: TrialState) -> Iterator[Check]:
    """The second time: what is compiled at the first request is none of it."""
    text = questions.QUESTIONS[0].text
    asker.complete(text, max_tokens=8, ignore_eos=True)
    answer = asker.complete(text, max_tokens=SPEED_TOKENS, ignore_eos=True)
    is_whole = answer.completion_tokens == SPEED_TOKENS and answer.finish_reason == "length"
    if answer.first_s is not None and answer.tokens_s is not None:
        state.figures |= {"ttft_s": answer.first_s, "decode_tokens_s": answer.tokens_s}
    yield Check(
        name="speed",
        outcome=Outcome.OK if is_whole else Outcome.FAULT,
        detail=f"{answer.completion_tokens} of {SPEED_TOKENS} tokens",
    )


def _places(asker: Asker, state: TrialState) -> Iterator[Check]:
    for text in texts.built_in():
        token_ids = asker.count(prompt=text.content)
        ends = range(SHORTEST, len(token_ids), EVERY)[:NUM_PLACES]
        state.next_tokens += asker.next_tokens([token_ids[:end] for end in ends])
    yield Check(
        name="next tokens", outcome=Outcome.OK, detail=f"at {len(state.next_tokens)} places"
    )


def _answered(name: str, question: Question, answer: Answer, num_prompt: int | None) -> Check:
    """The check of an answer: the server's counts and text first, then the model's knowledge."""
    faults = []
    if num_prompt is not None and answer.prompt_tokens != num_prompt:
        faults.append(f"usage counts {answer.prompt_tokens} prompt tokens, /tokenize {num_prompt}")
    if not answer.text.strip():
        faults.append(f"no text in {answer.completion_tokens} tokens")
    is_known = question.is_answered_by(answer.text)
    return Check(
        name=name,
        outcome=Outcome.FAULT if faults else Outcome.OK if is_known else Outcome.WEAK,
        detail="; ".join(faults),
        said=answer.text,
    )

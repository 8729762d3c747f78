"""The corpus itself: each form renders what is made for it, and says truly what it can."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from itertools import pairwise

import pytest

from serve.pipeline.template import ChatTemplate
from serve.pipeline.tool_arguments import with_parsed_arguments
from tests.serve.pipeline.forms.answers import answer, difference, messages_of, render, tokenizer_of
from tests.serve.pipeline.forms.catalogue import FORMS
from tests.serve.pipeline.forms.conversations import Call, Turn, conversation
from tests.serve.pipeline.forms.form import Form
from tests.serve.pipeline.forms.fourth_forms import FOURTH_FORMS
from tests.serve.pipeline.forms.later_forms import LATER_FORMS
from tests.serve.pipeline.forms.latest_forms import LATEST_FORMS
from tests.serve.pipeline.forms.third_forms import THIRD_FORMS

NUM_SEEDS = 3
each_form = pytest.mark.parametrize(
    "form", [*FORMS, *LATER_FORMS, *LATEST_FORMS, *THIRD_FORMS, *FOURTH_FORMS], ids=str
)


def test_there_are_enough_forms_and_few_that_need_a_table() -> None:
    assert len({form.template or form.name for form in FORMS}) >= 45
    assert len([form for form in FORMS if form.table]) <= 8
    assert len({form.name for form in FORMS}) == len(FORMS)


@each_form
def test_conversations_are_rendered_and_answers_hold_what_was_said(form: Form) -> None:
    for seed in range(NUM_SEEDS):
        for part in conversation(form, seed).ending_with_each_turn():
            made = answer(form, part)
            assert made.text, seed
            for call in made.expected.calls:
                assert call.name in made.text
            assert made.expected.content in made.text
            assert made.expected.reasoning in made.text
            assert tokenizer_of(form).decode_raw(made.ids) == made.text


@each_form
def test_prompts_are_those_of_the_server(form: Form) -> None:
    template = ChatTemplate(form.source, form.special_tokens)
    for seed in range(NUM_SEEDS if not form.arguments else 0):
        made = conversation(form, seed)
        messages = messages_of(form, made)[:-1]
        given = [with_parsed_arguments(message) for message in messages]
        prompt = str(render(form, messages, made.tools))
        assert prompt == template.render(given, list(made.tools))


@each_form
def test_prompts_are_append_only_unless_it_is_said_why_not(form: Form) -> None:
    kept = lost = 0
    said: set[str] = set()
    for seed in range(8 * NUM_SEEDS):
        if said >= _sayable(form) and kept + lost > 12 and bool(lost) == bool(form.not_append_only):
            break
        parts = conversation(form, seed).ending_with_each_turn()
        answers = [answer(form, part) for part in parts]
        for earlier, later in pairwise(answers):
            said |= {"calls"} if earlier.expected.calls else set()
            said |= {"reasoning"} if earlier.expected.reasoning else set()
            if later.prompt.startswith(earlier.prompt + earlier.text + earlier.end):
                kept += 1
            else:
                lost += 1
                assert form.not_append_only, (seed, earlier.prompt + earlier.text, later.prompt)
    assert kept + lost
    assert said >= _sayable(form)
    assert bool(lost) == bool(form.not_append_only)


def _sayable(form: Form) -> set[str]:
    """What a turn of the history has to hold before a form is believed."""
    calls = set() if form.calls == "none" else {"calls"}
    return calls if form.reasoning is None else calls | {"reasoning"}


@each_form
def test_arguments_are_rendered_alike_as_text_and_as_an_object(form: Form) -> None:
    num_calls = 0
    for seed in range(8 * NUM_SEEDS if form.calls != "none" else 0):
        if num_calls > 6:
            break
        made = conversation(form, seed)
        messages = messages_of(form, made)
        as_objects = copy.deepcopy(messages)
        for message in as_objects:
            for call in message.get("tool_calls", ()):
                call["function"]["arguments"] = json.loads(call["function"]["arguments"])
                num_calls += 1
        rendered = render(form, messages, made.tools, add_generation_prompt=False)
        again = render(form, as_objects, made.tools, add_generation_prompt=False)
        assert str(again) == str(rendered)
    assert num_calls or form.calls == "none"


@each_form
def test_words_that_spell_a_token_are_plain_in_the_ids(form: Form) -> None:
    tokenizer = tokenizer_of(form)
    for seed in range(NUM_SEEDS):
        made = answer(form, conversation(form, seed, own=True))
        assert tokenizer.decode_raw(made.ids) == made.text


@each_form
def test_another_parse_is_told_from_the_true_one(form: Form) -> None:
    made = answer(form, conversation(form, 0)).expected
    assert difference(form, made, made.reasoning, made.content, made.calls) is None
    assert difference(form, made, made.reasoning + "x", made.content, made.calls)
    assert difference(form, made, made.reasoning, made.content + "x", made.calls)
    one = Call("f", {"a": 1}, "")
    assert difference(form, Turn("", "", (one,)), "", "", [replace(one, arguments={"a": True})])

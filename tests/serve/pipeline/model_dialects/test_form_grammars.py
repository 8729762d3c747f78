"""Grammars of public templates' forms: what a model would write is of the language."""

from __future__ import annotations

from functools import cache

import pytest
from llguidance import LLMatcher, LLTokenizer

from serve.engine.grammars.serialised import serialised
from serve.pipeline.events import CallableTool, ToolUse
from serve.pipeline.model_dialects.grammars import Wish, grammar_of
from tests.serve.pipeline.forms.answers import Answer, tokenizer_of
from tests.serve.pipeline.forms.catalogue import FORMS
from tests.serve.pipeline.forms.conversations import Conversation
from tests.serve.pipeline.forms.form import Form
from tests.serve.pipeline.forms.fourth_forms import FOURTH_FORMS
from tests.serve.pipeline.forms.later_forms import LATER_FORMS
from tests.serve.pipeline.forms.latest_forms import LATEST_FORMS
from tests.serve.pipeline.forms.third_forms import THIRD_FORMS
from tests.serve.pipeline.model_dialects.examining import answers, dialect_of

OTHERWISE = {
    "gpt_oss": "the model writes the channel before the recipient, the template behind it",
    "muse_glimmer": "calls begin with the plain text that reasoning and content begin with, too",
    "minicpm5": "lists with certain characters stand in CDATA, and are held to JSON alone",
    "hyperclovax": "reasoning is opened by plain text, which free text cannot be told from",
}
"""Forms whose models are held to another spelling than the template renders."""
CALLING = [
    form
    for form in (*FORMS, *LATER_FORMS, *LATEST_FORMS, *THIRD_FORMS, *FOURTH_FORMS)
    if form.calls != "none" and form.name not in OTHERWISE
]


@cache
def vocabulary(form: Form) -> LLTokenizer:
    tokenizer = tokenizer_of(form)
    return LLTokenizer(tokenizer._tokenizer.to_str(), eos_token=[0])


def num_accepted(form: Form, given: Answer, part: Conversation, *, is_required: bool) -> int | None:
    """Tokens of an answer that the grammar takes; None where there is no grammar."""
    bound = dialect_of(form)
    if bound.dialect.calls is None:
        return None
    reasoning = bound.dialect.reasoning
    tools = tuple(CallableTool(name=tool["function"]["name"]) for tool in part.tools)
    wish = Wish(
        tool_use=ToolUse(tools=tools, is_required=is_required),
        is_thinking=reasoning is not None
        and given.prompt.rstrip().endswith(reasoning.open.strip()),
    )
    grammar = grammar_of(bound.dialect, wish, tokens=bound.tokens)
    if grammar is None:
        return None
    matcher = LLMatcher(vocabulary(form), serialised(grammar), log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    return matcher.try_consume_tokens(given.ids)


def _is_nested(form: Form, given: Answer) -> bool:
    """Whether lists and objects are written in no JSON: such values are held to JSON instead."""
    return form.values in ("python", "escaped") and any(
        isinstance(value, list | dict)
        for call in given.expected.calls
        for value in call.arguments.values()
    )


@pytest.mark.parametrize("form", CALLING, ids=lambda form: form.name)
def test_what_a_model_would_write_is_of_the_grammar(form: Form, is_proving: bool) -> None:
    wrong = []
    for given, part in answers(form, range(100 if is_proving else 2)):
        if not part.tools or _is_nested(form, given):
            continue
        taken = num_accepted(form, given, part, is_required=False)
        if taken is not None and taken < len(given.ids):
            shown = vocabulary(form).decode_str(given.ids[:taken])
            wrong.append(f"{given.text!r}\n   up to {shown!r}")
    assert not wrong, f"{len(wrong)} wrong by {dialect_of(form).dialect}:\n" + "\n".join(wrong[:3])

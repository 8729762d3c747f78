"""Which templates let the next prompt begin with this one, held against what the corpus knows."""

from __future__ import annotations

import pytest

from serve.pipeline.model_dialects.dialect import NO_DIALECT
from serve.pipeline.prefix.append_only import AppendOnly, append_only
from serve.pipeline.template import ChatTemplate
from serve.pipeline.template_environment import noting_times
from tests.serve.pipeline.forms.answers import tokenizer_of
from tests.serve.pipeline.forms.form import Form
from tests.serve.pipeline.model_dialects.examining import dialect_of
from tests.serve.pipeline.prefix.asking import EVERY_FORM, form_of

LOST_BY_FIELD = {"smollm3", "ministral3", "phi4_reasoning", "granite3_3", "deepseek_v3_1"}
"""Their templates keep reasoning that is a part of the content, or know of none; the server's
answers have it in a field of its own, which they do not read."""
LOST_BESIDE_CONTENT = {"command_r7b"}
"""Its template writes reasoning beside calls alone; the corpus lets it come there alone."""


def found(form: Form) -> AppendOnly:
    template = ChatTemplate(form.source, form.special_tokens)
    return append_only(template, tokenizer_of(form), dialect_of(form).dialect, form.arguments)


def test_the_verdict_is_that_of_the_corpus(is_proving: bool) -> None:
    """Here a sample of the forms; ``make prove`` takes them all."""
    for form in EVERY_FORM if is_proving else EVERY_FORM[:: len(EVERY_FORM) // 4]:
        verdict = found(form)
        assert verdict.reasons, form
        if form.name in LOST_BY_FIELD | LOST_BESIDE_CONTENT:
            assert set(filter(None, verdict.reasons.values())) == {
                "the reasoning of earlier turns is left out"
            }
        else:
            assert verdict.is_whole == (not form.not_append_only), (form, verdict.line)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("qwen2_5", "yes"),
        ("qwq", "chat and tools no: the reasoning of earlier turns is left out"),
        ("mistral_v3", "chat yes; tools no: the tools stand before the last question"),
        ("llama3_2", "yes; the template writes the time (%d %b %Y)"),
        (
            "kimi_k2_thinking",
            "chat and tools yes; reasoning no: the reasoning of earlier turns is left out",
        ),
    ],
)
def test_the_line_says_which_part_changes(name: str, line: str) -> None:
    form = next(form for form in EVERY_FORM if form.name == name)
    assert found(form).line == line


def test_an_opening_that_history_lacks_is_shown() -> None:
    reasons = found(form_of("qwen3_no_think")).reasons
    assert reasons["chat"] == (
        "what opens the answer ('<think>\\n\\n</think>\\n\\n') is not in the history"
    )


def verdict_of(source: str) -> AppendOnly:
    return append_only(ChatTemplate(source, {}), tokenizer_of(form_of("qwen2_5")), NO_DIALECT)


def test_a_template_that_rewrites_earlier_turns_is_told_with_both_texts() -> None:
    source = "{% for m in messages %}{{ '' if loop.last else '(old) ' }}{{ m.content }}{% endfor %}"
    verdict = verdict_of(source)
    assert verdict.reasons["chat"] == (
        "an earlier turn is written anew: 'Where is it?' becomes '(old) Where is it?(old) '"
    )
    assert verdict.to_json() == {"is_whole": False, "reasons": dict(verdict.reasons), "times": []}


def test_a_template_that_moves_the_system_prompt_is_told() -> None:
    source = (
        "{% for m in messages if m.role != 'system' %}{% if loop.last %}{{ messages[0].content }}"
        "{% endif %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}{% endif %}"
    )
    assert verdict_of(source).reasons["chat"] == (
        "the system prompt stands before the last question"
    )


def test_a_token_over_the_border_of_an_answer_is_told() -> None:
    """The texts go on from each other; the ids do not."""
    assert verdict_of("{% for m in messages %}{{ m.content }}{% endfor %}").reasons["chat"] in {
        None,
        "the answer's first or last token is another one in the history",
    }


def test_what_a_template_refuses_has_no_verdict() -> None:
    assert verdict_of("{{ raise_exception('no') }}").reasons == {}


def test_times_are_noted_where_somebody_asks_alone() -> None:
    template = ChatTemplate("{{ strftime_now('%Y') }}", {})
    with noting_times() as times:
        template.render([], [])
    num_noted = len(times)
    template.render([], [])
    assert set(times) == {"%Y"}
    assert len(times) == num_noted

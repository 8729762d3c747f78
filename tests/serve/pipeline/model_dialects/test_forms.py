"""Dialects of public templates' forms: what a model would write is read back as it was meant.

Here a sample runs. ``make prove`` runs 1,000 conversations of each form, whole and in random
pieces, and ten of them cut at every single character and into 20 random kinds of pieces.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.serve.pipeline.forms.answers import Answer, difference
from tests.serve.pipeline.forms.catalogue import FORMS
from tests.serve.pipeline.forms.conversations import Conversation
from tests.serve.pipeline.forms.form import Form
from tests.serve.pipeline.forms.fourth_forms import FOURTH_FORMS
from tests.serve.pipeline.forms.later_forms import LATER_FORMS
from tests.serve.pipeline.forms.latest_forms import LATEST_FORMS
from tests.serve.pipeline.forms.third_forms import THIRD_FORMS
from tests.serve.pipeline.model_dialects.examining import (
    answers,
    as_calls,
    dialect_of,
    last_answers,
    marked_text,
    parser_of,
    random_cuts,
    read,
    read_text,
)

UNREAD = {
    "kimi_k3": "the prompt opens the reasoning by a tag that no part of the answer closes, and a "
    "call counts itself: nothing that could be derived reads its own probes back",
}
"""Forms of which no calls are found: these are content, as the model writes them."""
ALL = [
    form
    for form in (*FORMS, *LATER_FORMS, *LATEST_FORMS, *THIRD_FORMS, *FOURTH_FORMS)
    if form.name not in UNREAD
]
SAMPLE, MANY = 2, 1000
MOST_CUT = 10
"""Answers of each form that are cut everywhere: at every place of all 1,000 it would take days."""


@pytest.mark.parametrize("form", ALL, ids=lambda form: form.name)
def test_an_answer_is_read_as_it_was_meant(form: Form, is_proving: bool) -> None:
    wrong = []
    many = last_answers(form, range(MANY)) if is_proving else answers(form, range(SAMPLE))
    for number, (given, part) in enumerate(many):
        whole = read(form, given, part)
        problem = difference(form, given.expected, whole[0], whole[1], as_calls(whole, given))
        if problem is None and whole[3] != ("tool_calls" if given.expected.calls else "stop"):
            problem = f"the reason is {whole[3]}"
        if problem is not None and not _is_ambiguous(form, given, part):
            wrong.append(f"{problem}\n   of {given.text!r}")
        text = marked_text(form, given)
        cuts = random_cuts(len(text), number)
        assert read_text(parser_of(form, given, part), text, cuts) == whole, (text, cuts)
    assert not wrong, f"{len(wrong)} wrong by {dialect_of(form).dialect}:\n" + "\n".join(wrong[:3])


def _is_ambiguous(form: Form, given: Answer, part: Conversation) -> bool:
    """Whether the content itself is a call, by its form and with a tool that there is: words that
    nothing tells from a call."""
    names = {tool["function"]["name"] for tool in part.tools}
    content = given.expected.content.strip()
    if form.values == "python":
        return "f" in names and content.endswith("[f(a=1)]")
    ends = ('{"name": "f", "arguments": {}}', '{"name": "f", "parameters": {"a": 1}}')
    return "f" in names and content.endswith(ends) and not given.expected.calls


@pytest.mark.parametrize("form", ALL, ids=lambda form: form.name)
def test_any_pieces_of_the_text_give_the_same(form: Form, is_proving: bool) -> None:
    """Cut at single characters, into random pieces, and into characters."""
    for given, part in last_answers(form, range(MOST_CUT if is_proving else 1)):
        text, whole = marked_text(form, given), read(form, given, part)
        size = len(text)
        cuts = [[at] for at in range(1, size, 1 if is_proving else 61)]
        cuts += [random_cuts(size, seed) for seed in range(20 if is_proving else 1)]
        for some in [*cuts, list(range(size))]:
            assert read_text(parser_of(form, given, part), text, some) == whole, (text, some)


@pytest.mark.parametrize("name", UNREAD)
def test_calls_that_would_be_read_wrong_are_none(name: str) -> None:
    (form,) = (form for form in (*FORMS, *LATER_FORMS, *LATEST_FORMS) if form.name == name)
    assert dialect_of(form).dialect.calls is None


def test_few_families_need_a_table() -> None:
    sources = Counter(dialect_of(form).dialect.source for form in ALL if form.calls != "none")
    named = {dialect_of(form).dialect.name for form in ALL} - {"template", "none"}
    assert len(named) <= 8
    assert sources["derived"] >= 40

"""Dialects of public templates' forms: what a model would write is read back as it was meant.

Here a sample runs. ``make prove`` runs 1,000 conversations of each form, each of their answers
whole, character by character and in random pieces, and 40 answers of each form cut at every single
place and into 20 random kinds of pieces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from tests.serve.pipeline.forms.answers import Answer, difference
from tests.serve.pipeline.forms.catalogue import FORMS
from tests.serve.pipeline.forms.conversations import Conversation
from tests.serve.pipeline.forms.form import Form
from tests.serve.pipeline.forms.later_forms import LATER_FORMS
from tests.serve.pipeline.model_dialects.examining import (
    answers,
    as_calls,
    dialect_of,
    marked_text,
    parser_of,
    random_cuts,
    read,
    read_text,
)

ALL = [*FORMS, *LATER_FORMS]
SAMPLE = 2


@pytest.mark.parametrize("form", ALL, ids=lambda form: form.name)
def test_an_answer_is_read_as_it_was_meant(form: Form, is_proving: bool) -> None:
    wrong = []
    for given, part in answers(form, range(1000 if is_proving else SAMPLE)):
        whole = read(form, given, part)
        if _is_ambiguous(form, given, part):
            continue
        problem = difference(form, given.expected, whole[0], whole[1], as_calls(whole, given))
        if problem is None and whole[3] != ("tool_calls" if given.expected.calls else "stop"):
            problem = f"the reason is {whole[3]}"
        if problem is not None:
            wrong.append(f"{problem}\n   of {given.text!r}")
    assert not wrong, f"{len(wrong)} wrong by {dialect_of(form).dialect}:\n" + "\n".join(wrong[:3])


def _is_ambiguous(form: Form, given: Answer, part: Conversation) -> bool:
    """Whether the content itself is a call by this form, of a tool that there is: words that
    nothing tells from a call."""
    names = {tool["function"]["name"] for tool in part.tools}
    content = given.expected.content.strip()
    return form.values == "python" and "f" in names and content.endswith("[f(a=1)]")


@pytest.mark.parametrize("form", ALL, ids=lambda form: form.name)
def test_any_pieces_of_the_text_give_the_same(form: Form, is_proving: bool) -> None:
    """Cut at every single character, and into random pieces."""
    for number, (given, part) in enumerate(answers(form, range(1000 if is_proving else 1))):
        text, whole = marked_text(form, given), read(form, given, part)
        is_whole = number < 40  # every place of all 1,000 would take days

        def check(cuts: Sequence[int], given: Answer = given, part: Conversation = part) -> None:
            parser = parser_of(form, given, part)
            assert read_text(parser, text, cuts) == whole, (text, cuts)  # noqa: B023

        every = range(1, len(text)) if is_proving and is_whole else [*range(1, len(text), 61)]
        for cut in every:
            check([cut])
        for seed in range(20 if is_proving and is_whole else 1):
            check(random_cuts(len(text), seed + 31 * number))
        check(range(len(text)))


def test_few_families_need_a_table() -> None:
    sources = Counter(dialect_of(form).dialect.source for form in ALL if form.calls != "none")
    named = {dialect_of(form).dialect.name for form in ALL} - {"template", "none"}
    assert len(named) <= 8
    assert sources["derived"] >= 40

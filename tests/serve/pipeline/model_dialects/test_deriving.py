"""Dialects out of small templates; the corpus of forms has the large ones (test_forms.py)."""

from __future__ import annotations

from typing import Any

import pytest

from serve.pipeline.model_dialects.deriving import derive
from serve.pipeline.model_dialects.dialect import JsonCall, ModelDialect, ReasoningSyntax
from serve.pipeline.model_dialects.probing import Probe
from serve.pipeline.template import ChatTemplate
from tests.serve.pipeline.model_dialects.parsed import one_by_one

HEAD = "{% for m in messages %}<{{ m.role }}>"
TAIL = "</s>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
CALLS = (
    '{% for c in m.tool_calls or [] %}{{ "\\n" }}<call>{"name": "{{ c.function.name }}", '
    '"arguments": {{ c.function.arguments | tojson }}}</call>{% endfor %}'
)
ONE_BY_ONE = (
    "{{% for c in m.tool_calls or [] %}}{{{{ c.function.name }}}}{0}"
    "{{% for k, v in c.function.arguments.items() %}}{{{{ k }}}}{0}{{{{ v }}}}{0}"
    "{{% endfor %}}{{% endfor %}}"
)
THOUGHT = "{% if m.reasoning_content %}<r>{{ m.reasoning_content }}</r>\n{% endif %}"


def derived(source: str) -> ModelDialect:
    template = ChatTemplate(source, {})

    def render(messages: Any, tools: Any, opens_answer: bool) -> str:
        return str(template.render(messages, tools, opens_answer=opens_answer))

    return derive(Probe(render, ["</s>"]), source)


def test_a_template_that_shows_nothing() -> None:
    dialect = derived(f"{HEAD}{{{{ m.content }}}}{TAIL}")
    assert (dialect.reasoning, dialect.calls) == (None, None)
    assert (dialect.content_open, dialect.content_close) == ("", "")


def test_calls_behind_content() -> None:
    dialect = derived(f"{HEAD}{{{{ m.content }}}}{CALLS}{TAIL}")
    calls = dialect.calls
    assert calls is not None
    assert calls.body == JsonCall(name=("name",), arguments=("arguments",))
    assert (calls.open.strip(), calls.close) == ("<call>", "</call>")
    seen = one_by_one(dialect, 'Well.\n<call>{"name": "get", "arguments": {}}</call>')
    assert (seen.content, seen.calls) == ("Well.", [("get", "{}")])


def test_reasoning_before_content() -> None:
    dialect = derived(f"{HEAD}{THOUGHT}{{{{ m.content }}}}{TAIL}")
    assert dialect.reasoning == ReasoningSyntax(open="<r>", close="</r>\n")


def test_tags_that_a_template_only_cuts_out() -> None:
    source = f"{HEAD}{{{{ m.content.split('</think>')[-1] }}}}{TAIL}"
    assert derived(source).reasoning == ReasoningSyntax(open="<think>\n", close="\n</think>\n\n")


def test_literals_around_content() -> None:
    dialect = derived(f"{HEAD}<say>{{{{ m.content }}}}</say>{TAIL}")
    assert (dialect.content_open, dialect.content_close) == ("<say>", "</say>")


def test_reasoning_that_content_alone_closes_has_an_end() -> None:
    thought = "{% if m.reasoning_content %}<r>{{ m.reasoning_content }}{% endif %}"
    dialect = derived(f"{HEAD}{thought}<say>{{{{ m.content }}}}{TAIL}")
    assert dialect.reasoning is not None
    assert dialect.reasoning.close.strip()
    seen = one_by_one(dialect, "<r>a<say>b")
    assert (seen.reasoning, seen.content) == ("a", "b")


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('no') }}",
        "",
        "{{ messages }}",
        "{% for m in messages %}{{ m }}{% endfor %}",
        f"{HEAD}{{{{ m.tool_calls }}}}{TAIL}",
        f"{HEAD}{{{{ m.content }}}}{ONE_BY_ONE.format('')}{TAIL}",
        f"{HEAD}{ONE_BY_ONE.format(' ')}{TAIL}",
    ],
)
@pytest.mark.parametrize("text", ["quzfirst get a b", "", "get city Köln\n days 2\n", " \n "])
def test_odd_templates_give_dialects_that_read_any_answer(source: str, text: str) -> None:
    seen = one_by_one(derived(source), text)
    assert seen.reason in ("stop", "tool_calls")

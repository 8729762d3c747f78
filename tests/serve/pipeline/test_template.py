"""The sandbox and models/rules/templates.py, which checks templates before anything runs, agree."""

from __future__ import annotations

import pytest

from models.rules import templates
from serve.errors import InvalidRequest
from serve.pipeline import template
from serve.pipeline.template import ChatTemplate
from tests.models.chat_templates import SHAPES

ONLY_IN_THE_SANDBOX = {"lipsum"}
"""A page of filler text: Jinja brings it, no prompt needs it, and the policy refuses it."""


@pytest.fixture
def sandbox():
    """The environment that ChatTemplate makes."""
    return template.environment()


def test_the_lists_of_what_may_be_called_agree(sandbox):
    assert set(sandbox.globals) - ONLY_IN_THE_SANDBOX == templates.GLOBALS
    assert set(sandbox.filters) == templates.FILTERS
    assert set(sandbox.tests) == templates.TESTS


def test_the_syntax_agrees(sandbox):
    checked = templates.environment()
    for option in ("trim_blocks", "lstrip_blocks", "block_start_string", "variable_start_string"):
        assert getattr(sandbox, option) == getattr(checked, option)
    tags = [{tag for e in x.extensions.values() for tag in e.tags} for x in (sandbox, checked)]
    assert tags[0] == tags[1]


@pytest.mark.parametrize("family", SHAPES)
def test_what_the_policy_passes_compiles(family):
    ChatTemplate(SHAPES[family], {})


@pytest.mark.parametrize("family", ["chatml", "llama3.1", "gemma", "phi3", "qwen3"])
def test_known_shapes_render(family):
    made = ChatTemplate(SHAPES[family], {"bos_token": "<s>", "eos_token": "</s>"})
    content = [{"type": "text", "text": "Hello"}] if family == "gemma" else "Hello"
    assert "Hello" in made.render([{"role": "user", "content": content}], [])


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages['__class__'].__mro__ }}",
        "{{ (messages|attr('__class__')).__mro__ }}",
        "{{ '{0.__class__}'.format(messages) }}",
        "{{ messages.append(1) }}",
        "{% for i in range(10 ** 6) %}{% endfor %}",
    ],
)
def test_the_sandbox_stops_it_too(source):
    """What the policy refuses before, the sandbox stands behind."""
    assert templates.fault(source)
    try:
        rendered = ChatTemplate(source, {}).render([{"role": "user", "content": "x"}], [])
    except InvalidRequest:
        return
    assert "class" not in rendered

"""Templates that models/rules/templates.py passes render; the sandbox stops what it refuses."""

from __future__ import annotations

import pytest

from models.rules import templates
from serve.errors import InvalidRequest
from serve.pipeline.template import ChatTemplate
from tests.models.chat_templates import SHAPES


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

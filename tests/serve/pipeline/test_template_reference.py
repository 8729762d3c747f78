"""Renderings equal those of transformers, for which templates are written."""

from __future__ import annotations

from typing import Any

import pytest

from serve.errors import InvalidRequest
from serve.pipeline.template import ChatTemplate
from tests.models.chat_templates import SHAPES

USER = {"role": "user", "content": "Hëllo <b> & 'you' 🙂\nline"}
TURNS = [
    {"role": "system", "content": "Be of use."},
    USER,
    {"role": "assistant", "content": "<think>hm</think>\n\nYes. "},
    {"role": "user", "content": "  And then?"},
]
ARGUMENTS = {"city": "Köln", "days": 2, "deep": {"b": [1, None, True], "a": 1.5}}
CALLS = [
    USER,
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "id": "abcdefghi",
                "type": "function",
                "function": {"name": "f", "arguments": ARGUMENTS},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "abcdefghi", "name": "f", "content": "7"},
]
TOOL = {
    "type": "function",
    "function": {
        "name": "f",
        "description": 'Say "ü" <&>',
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}

FEATURES = {
    "tojson": "{{ tools | tojson }}{{ messages | tojson }}",
    "tojson indent": "{{ tools | tojson(indent=4) }}",
    "tojson by place": "{{ messages | tojson(true, 2) }}",
    "tojson ascii": "{{ messages | tojson(ensure_ascii=True) }}",
    "tojson sorted": "{{ {'b': 1, 'a': '<'} | tojson(sort_keys=true) }}",
    "tojson separators": "{{ {'b': [1, 2], 'a': 1} | tojson(separators=(',', ':')) }}",
    "tojson unknown option": "{{ 1 | tojson(allow_nan=false) }}",
    "tojson of nothing": "{{ nobody | tojson }}",
    "documents": "{{ documents is defined }}{{ documents is none }}",
    "tools": "{{ tools is defined }}{{ tools is none }}",
    "generation": "{% generation %}{{ messages[0].content }}{% endgeneration %}.",
    "loop controls": "{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}"
    "{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "whitespace": "  {% if true %}\n  a\n  {% endif %}\n\n{{- 'b' -}}\n c \n",
    "trailing newline": "a\n\n",
    "tokens": "{{ bos_token }}{{ eos_token }}{{ pad_token }}{{ unk_token is defined }}",
    "prompt": "{{ add_generation_prompt }}",
    "raise": "{{ raise_exception('no, never') }}",
    "time without a zone": "{{ strftime_now('%Z%z|') }}{{ strftime_now('%d %b %Y') | length }}",
    "float and int": "{{ 1 / 3 }} {{ 7 // 2 }} {{ 2 ** 10 }} {{ 7 % 4 }} {{ 1e3 }}",
    "undefined": "[{{ nobody }}][{{ messages[0].nobody }}]",
    "undefined deeper": "{{ nobody.deeper }}",
    "python values": "{{ [1, none, true, 'x', {'a': 1.0}] }}",
    "markup": "{{ '<' | e }}{{ ('<' | e) ~ '<' }}{{ ('<' | safe) + '>' }}",
    "namespace": "{% set ns = namespace(x=1) %}{% for i in range(3) %}"
    "{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}",
    "loop": "{% for m in messages %}{{ loop.index0 }}{{ loop.last }}{{ loop.length }}"
    "{{ loop.previtem is defined }}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "loop over a filter": "{% for m in messages | selectattr('role', 'eq', 'user') %}"
    "{{ loop.index }}{{ loop.length }}{{ loop.last }}{% endfor %}",
    "loop with a condition": "{% for m in messages if m.role != 'tool' %}{{ loop.index }}"
    "{{ m.role }}{% else %}none{% endfor %}",
    "recursive loop": "{% for i in [1, [2, [3]]] recursive %}"
    "{% if i is iterable %}{{ loop(i) }}{% else %}{{ i }}{% endif %}{% endfor %}",
    "macro": "{% macro f(a, b=2) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{{ caller() }}"
    "{% endmacro %}{% call f(1, 2, 3, x=4) %}in{% endcall %}",
    "set block": "{% set x | upper %}abc{% endset %}{{ x }}{% filter indent(2, true) %}a\nb"
    "{% endfilter %}",
    "slices": "{{ messages[::-1] | map(attribute='role') | join(',') }}{{ 'abc'[-2:] }}",
    "filters": "{{ [3, 1, 2] | sort | join('-') }}{{ ['a', 'A', 'b'] | unique | list }}"
    "{{ messages | groupby('role') | map('first') | list }}{{ {'b': 1, 'a': 2} | dictsort }}"
    "{{ [1, 2, 3] | batch(2, 'x') | list }}{{ [1, 2, 3] | slice(2) | list }}"
    "{{ ['a', 'b'] | last }}{{ 3.7 | int }}{{ '7' | int + 1 }}{{ ' a ' | trim }}",
    "methods": "{{ 'a,b'.split(',') }}{{ 'abc'.startswith('a') }}{{ 'x'.join(['a', 'b']) }}"
    "{{ {'a': 1}.items() | list }}{{ '%s-%d' | format('a', 1) }}{{ '{}{x}'.format(1, x=2) }}",
    "tests": "{{ 1 is number }}{{ 'a' is string }}{{ {} is mapping }}{{ 3 is odd }}"
    "{{ 'a' is in('abc') }}{{ 1 is eq(1) }}{{ none is none }}{{ 'a' in ['a'] }}",
    "tuples": "{% for a, b in [(1, 2), (3, 4)] %}{{ a + b }}{% endfor %}{{ (1, 2) == (1, 2) }}",
    "sandbox": "{{ messages[0].content.__class__ }}",
    "changes": "{{ messages.append(1) }}",
    "lone brackets": "{# gone #}{% raw %}{{ kept }}{% endraw %}",
}


@pytest.fixture(scope="module")
def reference() -> Any:
    """The function that ``apply_chat_template`` renders with."""
    from transformers.utils.chat_template_utils import render_jinja_template

    return render_jinja_template


def theirs(reference: Any, source: str, messages: Any, tools: Any) -> str:
    """Their rendering, or the first words of what it raises."""
    try:
        [text], _ = reference(
            [messages],
            tools=tools or None,
            chat_template=source,
            add_generation_prompt=True,
            **TOKENS,
        )
    except Exception as error:  # noqa: BLE001 - anything is compared
        return f"refused: {str(error)[:30] or type(error).__name__}"
    return str(text)


def ours(source: str, messages: Any, tools: Any) -> str:
    try:
        return ChatTemplate(source, TOKENS).render(messages, tools)
    except InvalidRequest as error:
        return f"refused: {error.message}"


@pytest.mark.parametrize("name", [*FEATURES, *SHAPES])
@pytest.mark.parametrize(
    ("messages", "tools"),
    [([USER], []), (TURNS, []), (TURNS[1:], [TOOL]), (CALLS, [TOOL])],
    ids=["user", "turns", "tools", "calls"],
)
def test_it_renders_as_transformers_does(
    name: str, messages: Any, tools: Any, reference: Any
) -> None:
    source = FEATURES.get(name) or SHAPES[name]
    wanted, made = theirs(reference, source, messages, tools), ours(source, messages, tools)
    if wanted.startswith("refused"):
        assert made.startswith("refused"), (wanted, made)
    else:
        assert made == wanted

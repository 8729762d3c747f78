"""Arguments of tool calls in a history: text for templates that want text, an object for others."""

from __future__ import annotations

from typing import Any

import pytest

from serve.errors import InvalidRequest
from serve.pipeline.events import ChatPrompt
from serve.pipeline.render import Renderer
from serve.pipeline.template import ChatTemplate
from serve.pipeline.tool_arguments import Arguments, parse
from tests.serve.pipeline.conftest import SPECIAL, byte_level_tokenizer

TOKENIZER = byte_level_tokenizer()
TEXT = '{"city": "Köln",  "days": 2}'
CALL = "messages[1].tool_calls[0].function.arguments"


async def rendered(source: str, arguments: Any) -> str:
    """The text of a prompt whose history holds a call with these arguments."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    messages = (
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "7"},
    )
    renderer = Renderer(TOKENIZER, ChatTemplate("{% set a = " + CALL + " %}" + source, {}))
    return TOKENIZER.decode_raw(await renderer.render(ChatPrompt(messages=messages)))


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'CALL ' + a }}",
        "CALL {{ a }}",
        "{{ 'CALL ' ~ a }}",
        "{{ 'CALL ' + a + '' }}",
        "{{ 'CALL %s' | format(a) }}",
        "{{ 'CALL %s' % a }}",
        "{{ 'CALL {}'.format(a) }}",
        "{{ ['CALL', a] | join(' ') }}",
        "CALL {{ a | string }}",
        "CALL {{ a | trim }}",
        "CALL {{ a.strip() }}",
        "CALL {{ a if a is string else a | string }}",
        "{% set s = 'CALL ' + a %}{{ s }}",
        "{% set s %}CALL {{ a }}{% endset %}{{ s }}",
        "{% macro f(x) %}CALL {{ x }}{% endmacro %}{{ f(a) }}",
        "CALL {{ a[:1000] }}",
        "CALL {{ a[0] }}{{ a[1:-1] }}{{ a[-1] }}",
    ],
)
async def test_a_template_that_wants_text_gets_the_text_as_it_was_written(source: str) -> None:
    assert await rendered(source, TEXT) == "CALL " + TEXT


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ a | tojson }}", '{"city": "Köln", "days": 2}'),
        ("{{ a if a is string else a | tojson }}", '{"city": "Köln", "days": 2}'),
        ("{% if a is mapping %}{{ a.city }}{% endif %}", "Köln"),
        ("{% for k, v in a.items() %}{{ k }}={{ v }};{% endfor %}", "city=Köln;days=2;"),
        ("{% for k, v in a | items %}{{ k }}={{ v }};{% endfor %}", "city=Köln;days=2;"),
        ("{% for k in a %}{{ k }}={{ a[k] }};{% endfor %}", "city=Köln;days=2;"),
        ("{{ a | length }}", "2"),
        ("{{ a | dictsort | first | first }}", "city"),
        ("{{ 'city' in a }}", "True"),
        ("{{ a.get('days') + 1 }}", "3"),
        ("{{ a.nothing is defined }}", "False"),
    ],
)
async def test_a_template_that_wants_an_object_gets_one(source: str, expected: str) -> None:
    assert await rendered(source, TEXT) == expected


async def test_a_key_that_is_named_like_a_method_of_texts_is_the_key() -> None:
    assert await rendered("{{ a.title }} {{ a.format }}", '{"title": "T", "format": "F"}') == "T F"


@pytest.mark.parametrize("given", ["", " ", "{}"])
async def test_no_arguments_are_an_empty_object(given: str) -> None:
    assert await rendered("{{ a | tojson }}|{{ a | length }}", given) == "{}|0"


@pytest.mark.parametrize("given", ['{"a": ', "[1]", "null", "5", '"{}"', "{'a': 1}", "oops", "\\"])
async def test_text_that_is_no_object_is_kept_and_the_chat_goes_on(given: str) -> None:
    assert await rendered("{{ 'CALL ' + a }}", given) == "CALL " + given
    assert await rendered("{{ a if a is string else a | tojson }}", given) == given
    looped = await rendered("{% for k, v in a.items() %}{{ k }}={{ v }}{% endfor %}", given)
    assert looped == "arguments=" + given


@pytest.mark.parametrize(
    ("source", "given", "expected"),
    [
        ("{{ 'none' if a == '{}' else a | tojson }}", "{}", "none"),
        ("{{ 'none' if a in ['', '{}'] else 'some' }}", "{}", "none"),
        ("{{ a != '{}' }}", TEXT, "True"),
        ("{{ a == {} }}|{{ a == {'x': 1} }}", '{"x": 1}', "False|True"),
    ],
)
async def test_they_are_equal_to_either_side(source: str, given: str, expected: str) -> None:
    assert await rendered(source, given) == expected


async def test_an_object_that_a_client_sends_is_taken_as_one() -> None:
    assert await rendered("{{ a }}|{{ a.x }}", {"x": "é"}) == '{"x": "é"}|é'


@pytest.mark.parametrize("arguments", [None, 5, [1]])
async def test_arguments_that_are_no_text_stay_what_they_are(arguments: Any) -> None:
    assert await rendered("{{ a }}", arguments) == str(arguments)


@pytest.mark.parametrize("source", ["{{ 'C' + a }}", "{{ a }}", "{{ a | tojson }}", "{{ a.x }}"])
@pytest.mark.parametrize(
    "arguments",
    ['{"x": "<|im_end|>"}', '{"x": "\\u003c|im_end|>"}', '{"<|im_end|>": 1}', "<|im_end|>"],
)
async def test_neither_side_can_hold_a_control_token(source: str, arguments: str) -> None:
    end = TOKENIZER._tokenizer.token_to_id(SPECIAL[2])
    call = {"function": {"name": "f", "arguments": arguments}}
    message = {"role": "assistant", "tool_calls": [call]}
    template = ChatTemplate("{% set a = " + CALL.replace("[1]", "[0]") + " %}x" + source, {})
    try:
        ids = await Renderer(TOKENIZER, template).render(ChatPrompt(messages=(message,)))
    except InvalidRequest:
        return
    assert end not in ids


def test_arguments_change_on_both_sides() -> None:
    made = Arguments({"a": 1}, '{"a": 1}').changed(lambda value: {**value, "b": 2}, str.upper)
    assert (made, str(made)) == ({"a": 1, "b": 2}, '{"A": 1}')


def test_text_that_nests_without_end_stays_text() -> None:
    deep = '{"a":' * 100_000
    assert parse(deep) == deep

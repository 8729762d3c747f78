"""Refusals name the field as it was sent, and values in JSON's words and the client's digits."""

from __future__ import annotations

import pytest

from serve.api.http.strict_json import parse_object
from serve.api.openai.chat import ChatCompletions
from serve.api.openai.completions import Completions
from serve.errors import InvalidRequest

USER = b'"messages":[{"role":"user","content":"x"}]'


def refusal_of(fields: bytes, *, chat: bool = True) -> InvalidRequest:
    dialect = ChatCompletions() if chat else Completions()
    with pytest.raises(InvalidRequest) as refused:
        dialect.parse(parse_object(b'{"model":"demo",' + fields + b"}")).generation()
    return refused.value


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        (USER + b',"temperature":1e3', "temperature", "must be at most 2, not 1e3."),
        (USER + b',"temperature":2.50', "temperature", "must be at most 2, not 2.50."),
        (USER + b',"n":1.5E0', "n", "must be an integer, not 1.5E0."),
        (USER + b',"n":0.0', "n", "must be at least 1, not 0.0."),
        (USER + b',"seed":18446744073709551616', "seed", "not 18446744073709551616."),
        (USER + b',"top_p":-0.0', "top_p", "must be greater than 0, not -0.0."),
        (USER + b',"logit_bias":{"7":1e2,"8":1e3}', "logit_bias.8", "at most 100, not 1e3."),
        (USER + b',"stream":null,"n":true', "n", "must be an integer, not true."),
        (USER + b',"model":false', None, 'same name twice: "model".'),
        (USER + b',"max_token":5', "max_token", "Did you mean max_tokens"),
        (b'"messages":[{"role":"user","content":true}]', "messages[0].content", ", not true."),
        (b'"messages":[{"role":"user","contents":"x"}]', "messages[0].content", "is required."),
        (
            b'"messages":[{"role":"user","content":"x","contant":1}]',
            "messages[0].contant",
            "Did you mean content",
        ),
        (
            b'"messages":[{"role":"user","content":[{"type":"text","text":[]}]}]',
            "messages[0].content[0].text",
            "must be a string, not an array.",
        ),
        (
            b'"messages":[{"role":"root","content":"x"}]',
            "messages[0].role",
            '"user", "assistant", "tool", "function", not "root".',
        ),
        (b'"messages":[{"content":"x"}]', "messages[0].role", "is required."),
        (b'"messages":[null]', "messages[0]", "must be an object, not null."),
        (b'"messages":null', "messages", "must be an array, not null."),
        (b'"n":1', "messages", "messages is required."),
        (b'"prompt":"x"', "prompt", "a field of /v1/completions: send this body there"),
        (b'"input":"x"', "input", "this one takes messages"),
        (USER + b',"stop":5', "stop", "must be a string or an array of strings, not 5."),
        (USER + b',"logit_bias":{"a b":1}', "logit_bias", "which is not a token id"),
        (USER + b',"stop":["a","%s"]' % (b"x" * 1025), "stop[1]", "stop[1] has 1025 characters"),
        (USER + b',"stop":"%s"' % (b"x" * 1025), "stop", "stop has 1025 characters"),
        (b'"messages":[]', "messages", "must have at least 1 entry, not 0."),
        (
            USER + b',"tools":[{"function":{"name":"f","strict":1}}]',
            "tools[0].function.strict",
            "must be true or false, not 1",
        ),
        (
            b'"messages":[{"role":"user","content":"x","cotnent":1}]',
            "messages[0].cotnent",
            "is not a field of this object. Did you mean content? Leave it out.",
        ),
        (
            b'"messages":[{"role":"assistant","content":"x","reasoning_conten":1}]',
            "messages[0].reasoning_conten",
            "Did you mean reasoning_content",
        ),
        (USER + b',"m\\u0000x":1', r"m\u0000x", r'Unknown field "m\u0000x".'),
        (USER + b',"a\xe2\x80\xaeb\xc3\xa9":1', "a\\u202ebé", r'Unknown field "a\u202ebé".'),
        (
            b'"messages":[{"role":"user","content":"x","a\\r\\nb\\u001b[31m":1}]',
            r"messages[0].a\r\nb\u001b[31m",
            r"messages[0].a\r\nb\u001b[31m is not a field",
        ),
        (b'"messages":[{"role":"a\\u009bb"}]', "messages[0].role", r'not "a\u009bb".'),
    ],
)
def test_a_chat_is_refused_in_the_clients_own_words(
    fields: bytes, param: str | None, message: str
) -> None:
    refused = refusal_of(fields)
    assert message in refused.message
    assert refused.param == param


def test_a_chat_sent_to_completions_is_told_where_it_belongs() -> None:
    refused = refusal_of(USER, chat=False)
    assert "send this body there" in refused.message
    assert refusal_of(b'"prompt":"x","max_completion_tokens":5', chat=False).message.endswith(
        "here it is max_tokens."
    )


@pytest.mark.parametrize(
    ("prompt", "given"),
    [
        (b"5", "5"),
        (b"null", "null"),
        (b"[]", "an empty array"),
        (b'[1,"a"]', "an array with a string in it"),
        (b'["a",null]', "an array with null in it"),
        (b"[1.5]", "an array with 1.5 in it"),
        (b"[[1],[2,true]]", "an array with true in it"),
    ],
)
def test_a_misshapen_prompt_is_told_what_it_is(prompt: bytes, given: str) -> None:
    assert refusal_of(b'"prompt":' + prompt, chat=False).message.endswith(f"; not {given}.")


def test_a_string_is_shown_only_where_it_is_a_number_or_a_truth() -> None:
    assert 'the string "0.7"' in refusal_of(USER + b',"temperature":"0.7"').message
    assert 'the string "None"' in refusal_of(USER + b',"temperature":"None"').message
    assert refusal_of(USER + b',"temperature":"warm"').message.endswith("not a string.")


def test_a_long_number_is_cut_and_a_long_name_too() -> None:
    assert len(refusal_of(USER + b',"n":' + b"9" * 4000).message) < 150
    assert len(refusal_of(USER + b',"' + b"x" * 4000 + b'":1').message) < 150
    deep = b'"messages":[{"role":"user","content":"x","' + b"y" * 4000 + b'":1}]'
    assert len(refusal_of(deep).message) < 250

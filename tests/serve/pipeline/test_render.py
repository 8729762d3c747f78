"""Templates, tokenising, and the guard: no text of a client can become a control token."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, processors

from serve.errors import InvalidRequest, StartupError, UnsupportedField
from serve.pipeline.events import ChatPrompt, TextPrompt, TokensPrompt
from serve.pipeline.render import INLINE_CHARS, Renderer
from serve.pipeline.template import ChatTemplate, load_template
from serve.pipeline.tokenizer import ModelTokenizer
from tests.serve.pipeline.conftest import SPECIAL, byte_level_tokenizer

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if tools %}{{ tools | tojson }}{% endif %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NONCHARACTER = "\ufdd0"
TOKENIZER = byte_level_tokenizer()
RENDERER = Renderer(TOKENIZER, ChatTemplate(CHATML, {}))
START, END = (TOKENIZER._tokenizer.token_to_id(token) for token in SPECIAL[1:])


def chat(content: str, **extra: Any) -> ChatPrompt:
    return ChatPrompt(messages=({"role": "user", "content": content},), **extra)


async def test_a_chat_is_rendered_as_the_template_says() -> None:
    ids = await RENDERER.render(chat("hi"))
    assert TOKENIZER.decode_raw(ids) == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert [i for i in ids if i in {START, END}] == [START, END, START]


@given(
    pieces=st.lists(
        st.one_of(
            st.sampled_from(
                [
                    *SPECIAL,
                    NONCHARACTER,
                    "<",
                    "|im_end|>",
                    "<|im_",
                    "system\n",
                    f"<{NONCHARACTER}|im_end|>",
                ]
            ),
            st.text(max_size=5),
        ),
        max_size=8,
    )
)
async def test_a_client_cannot_write_a_control_token(pieces: list[str]) -> None:
    content = "".join(pieces)
    ids = await RENDERER.render(chat(content))
    control = [i for i in ids if i in TOKENIZER._special_ids]
    assert control == [START, END, START]


async def test_guarded_text_arrives_as_it_was_written() -> None:
    ids = await RENDERER.render(chat("before <|im_end|> after"))
    assert "user\nbefore <|im_end|> after<|im_end|>" in TOKENIZER.decode_raw(ids)


async def test_tool_arguments_and_names_are_guarded_too() -> None:
    tool = {"type": "function", "function": {"name": "f", "description": "<|im_start|>system"}}
    ids = await RENDERER.render(chat("x", tools=(tool,)))
    assert [i for i in ids if i in TOKENIZER._special_ids] == [START, END, START]


async def test_tools_that_the_template_would_drop_are_refused() -> None:
    without = ChatTemplate("{% for m in messages %}{{ m.content }}{% endfor %}", {})
    renderer = Renderer(TOKENIZER, without)
    with pytest.raises(UnsupportedField, match="does not render tools") as error:
        await renderer.render(chat("x", tools=({"type": "function"},)))
    assert error.value.param == "tools"
    assert await renderer.render(chat("x"))


async def test_a_plain_prompt_is_taken_as_it_stands() -> None:
    """/v1/completions is for those who write the whole prompt, control tokens included."""
    ids = await RENDERER.render(TextPrompt("<|im_start|>user"))
    assert ids[0] == START


@pytest.mark.parametrize("text", ["a", "a\ufdd0b", "\ufdd0", "a\0b", "<|im_\ufdd0end|>"])
async def test_a_plain_prompt_keeps_its_beginning_whatever_it_holds(text: str) -> None:
    """The tokenizer's own tokens are put around a prompt with noncharacters in it, too."""
    tokenizer = Tokenizer.from_str(TOKENIZER._tokenizer.to_str())
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )
    renderer = Renderer(ModelTokenizer(tokenizer, {}, TOKENIZER.vocab_size), None)
    ids = await renderer.render(TextPrompt(text))
    assert (ids[0], renderer.tokenizer.decode_raw(ids[1:])) == (0, text)
    without = await renderer.render(TextPrompt(text, add_special_tokens=False))
    assert without == ids[1:]


@pytest.mark.parametrize("role", ["user", "assistant", "system", "tool"])
async def test_a_template_makes_tokens_of_roles_and_a_client_of_nothing_else(role: str) -> None:
    """Phi-3's way: `<|` and the role and `|>`. A name in a message is a client's."""
    tokenizer = Tokenizer.from_str(TOKENIZER._tokenizer.to_str())
    tokenizer.add_special_tokens(
        [f"<|{name}|>" for name in ("user", "assistant", "system", "tool")]
    )
    source = (
        "{% for m in messages %}{{ '<|' + m['role'] + '|>' }}{{ '<|' ~ m.name ~ '|>' }}{% endfor %}"
    )
    renderer = Renderer(ModelTokenizer(tokenizer, {}, 999), ChatTemplate(source, {}))
    ids = await renderer.render(ChatPrompt(messages=({"role": role, "name": "system"},)))
    assert ids.count(tokenizer.token_to_id(f"<|{role}|>")) == 1
    assert renderer.tokenizer.decode_raw(ids) == f"<|{role}|><|system|>"
    assert len([i for i in ids if i >= TOKENIZER._tokenizer.get_vocab_size()]) == 1


async def test_names_ids_keys_and_nested_values_are_guarded() -> None:
    """Every text of a request but a role, in messages and tools, at any depth, keys too."""
    source = (
        "{{ messages }}{{ tools }}{% for k in tools[0].function.parameters %}{{ k }}{% endfor %}"
    )
    end = "<|im_end|>"
    call = {
        "id": end,
        "type": "function",
        "function": {"name": end, "arguments": f'{{"{end}": 1}}'},
    }
    message = {"role": "assistant", "name": end, "tool_calls": [call], "content": [{"text": end}]}
    tool = {"type": end, "function": {"name": end, "parameters": {end: [{end: [end]}]}}}
    renderer = Renderer(TOKENIZER, ChatTemplate(source, {}))
    ids = await renderer.render(ChatPrompt(messages=(message,), tools=(tool,)))
    assert not {START, END} & {*ids}
    assert TOKENIZER.decode_raw(ids).count(end) == 11


async def test_a_long_text_gives_the_same_ids_on_a_thread() -> None:
    text = "prefill and decode. " * (INLINE_CHARS // 10)
    assert await RENDERER.render(TextPrompt(text)) == TOKENIZER.encode(
        text, add_special_tokens=True
    )


@pytest.mark.parametrize("bad", [-1, TOKENIZER.vocab_size])
async def test_ids_out_of_vocabulary_are_refused(bad: int) -> None:
    with pytest.raises(InvalidRequest, match=f"id {bad} is not in the vocabulary") as refused:
        await RENDERER.render(TokensPrompt((1, bad)))
    assert refused.value.param == "prompt"


@pytest.mark.parametrize("prompt", [TextPrompt(""), TokensPrompt(())])
async def test_an_empty_prompt_is_refused(prompt: TextPrompt | TokensPrompt) -> None:
    with pytest.raises(InvalidRequest, match="empty"):
        await RENDERER.render(prompt)


async def test_without_a_template_messages_are_refused_with_the_way_out() -> None:
    with pytest.raises(InvalidRequest, match="/v1/completions"):
        await Renderer(TOKENIZER, None).render(chat("hi"))


async def test_tool_call_arguments_reach_the_template_as_a_value() -> None:
    source = "{{ messages[0].tool_calls[0].function.arguments.city }}"
    message = {
        "role": "assistant",
        "tool_calls": [{"function": {"name": "f", "arguments": '{"city": "Oslo"}'}}],
    }
    renderer = Renderer(TOKENIZER, ChatTemplate(source, {}))
    ids = await renderer.render(ChatPrompt(messages=(message,)))
    assert TOKENIZER.decode(ids) == "Oslo"


def tool_call(arguments: Any) -> ChatPrompt:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return ChatPrompt(messages=({"role": "assistant", "content": None, "tool_calls": [call]},))


NO_OBJECTS = {
    "cut off": '{"a": ',
    "badly quoted": "{'a': 1}",
    "no json": "{oops",
    "null": "null",
    "a number": "3",
    "a list": "[1, 2]",
    "a string": '"text"',
    "encoded twice": '"{\\"a\\": 1}"',
    "two objects": '{"a": 1}{"b": 2}',
    "a name twice": '{"a": 1, "a": 2}',
    "a name twice, within": '{"x": [{"a": 1, "a": 2}]}',
    "no number": '{"a": NaN}',
    "beyond a float": '{"a": 1e400}',
    "thousands of digits": '{"a": ' + "1" * 5000 + "}",
    "half of a character": r'{"a": "\ud83d"}',
    "deep": '{"a": ' * 5000 + "1" + "}" * 5000,
    "deep enough for a template": '{"a": ' * 400 + "1" + "}" * 400,
    "with a control token": '{"a": "<|im_end|>',
}


@pytest.mark.parametrize("name", NO_OBJECTS)
async def test_arguments_that_are_no_object_keep_their_text(name: str) -> None:
    """They are the past, as the model wrote it: refusing it would end the conversation."""
    source = "{{ a if a is string else '!' }}"
    source = "{% set a = messages[0].tool_calls[0].function.arguments %}" + source
    text = NO_OBJECTS[name]
    ids = await Renderer(TOKENIZER, ChatTemplate(source, {})).render(tool_call(text))
    assert TOKENIZER.decode_raw(ids) == text
    assert not {START, END} & {*ids}


@pytest.mark.parametrize("text", ['{"a": ', "null", "[1, 2]", '{"a": 1, "a": 2}'])
@pytest.mark.parametrize(
    "source",
    ["{% for k, v in a.items() %}{{ k }}={{ v }}{% endfor %}", "{{ (a | items | list)[0][1] }}"],
)
async def test_a_template_that_loops_over_arguments_gets_them_as_one(
    source: str, text: str
) -> None:
    whole = "{% set a = messages[0].tool_calls[0].function.arguments %}" + source
    ids = await Renderer(TOKENIZER, ChatTemplate(whole, {})).render(tool_call(text))
    assert TOKENIZER.decode_raw(ids).removeprefix("arguments=") == text


@pytest.mark.parametrize("empty", ["", " ", "{}", "\n{ }"])
async def test_no_arguments_are_an_empty_object(empty: str) -> None:
    source = "{{ messages[0].tool_calls[0].function.arguments | tojson }}"
    ids = await Renderer(TOKENIZER, ChatTemplate(source, {})).render(tool_call(empty))
    assert TOKENIZER.decode_raw(ids) == "{}"


@pytest.mark.parametrize(
    "source",
    ["<{{ m.role + m.content }}>", "<{{ m.role + m.content | trim }}{{ m.content.strip() }}>"],
)
@pytest.mark.parametrize("text", ["{}", '{"a": '])
async def test_a_template_that_joins_contents_gets_empty_text_for_null(
    source: str, text: str
) -> None:
    """Clients send null beside tool calls; a template that knows of none joins text to it."""
    whole = "{% for m in messages %}" + source + "{% endfor %}"
    ids = await Renderer(TOKENIZER, ChatTemplate(whole, {})).render(tool_call(text))
    assert TOKENIZER.decode_raw(ids) == "<assistant>"


async def test_a_template_that_takes_null_gets_null() -> None:
    source = "{{ 'null' if messages[0].content is none else 'text' }}"
    ids = await Renderer(TOKENIZER, ChatTemplate(source, {})).render(tool_call("{}"))
    assert TOKENIZER.decode_raw(ids) == "null"


async def test_a_template_that_refuses_every_form_still_refuses() -> None:
    renderer = Renderer(TOKENIZER, ChatTemplate("{{ raise_exception('no tools') }}", {}))
    for arguments in ('{"a": ', '{"a": 1}'):
        with pytest.raises(InvalidRequest, match="no tools"):
            await renderer.render(tool_call(arguments))


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('roles must alternate') }}",
        "{{ messages[0].content.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ undefined_thing.attribute.deeper }}",
    ],
)
def test_what_a_template_refuses_or_may_not_do_is_a_400(source: str) -> None:
    with pytest.raises(InvalidRequest, match="template"):
        ChatTemplate(source, {}).render([{"role": "user", "content": "x"}], [])


def test_a_template_that_does_not_compile_stops_the_start() -> None:
    with pytest.raises(StartupError, match="does not compile"):
        ChatTemplate("{% if %}", {})


def test_generation_blocks_and_json_are_as_templates_expect() -> None:
    source = "{% generation %}{{ {'a': '<é>'} | tojson }}{% endgeneration %}{{ bos_token }}"
    assert ChatTemplate(source, {"bos_token": "<s>"}).render([], []) == '{"a": "<é>"}<s>'


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"chat_template.jinja": "file"}, "file"),
        ({"tokenizer_config.json": {"chat_template": "config"}}, "config"),
        (
            {
                "tokenizer_config.json": {
                    "chat_template": [
                        {"name": "default", "template": "plain"},
                        {"name": "tool_use", "template": "tools"},
                    ]
                }
            },
            "plain",
        ),
    ],
)
def test_where_the_template_comes_from(
    tmp_path: Path, files: dict[str, Any], expected: str | None
) -> None:
    config: dict[str, Any] = {}
    for name, content in files.items():
        if isinstance(content, dict):
            config = content
        (tmp_path / name).write_text(
            content if isinstance(content, str) else json.dumps(content), "utf-8"
        )
    template = load_template(tmp_path, config)
    assert (template and template.render([], [])) == expected


async def test_a_large_chat_gives_the_same_ids_on_a_thread() -> None:
    long = "prefill and decode. " * (INLINE_CHARS // 10)
    ids = await RENDERER.render(chat(long))
    assert TOKENIZER.decode_raw(ids).startswith("<|im_start|>user\nprefill and decode.")
    assert [i for i in ids if i in TOKENIZER._special_ids] == [START, END, START]


@pytest.mark.parametrize("content", ["short", "long " * INLINE_CHARS])
async def test_the_loop_turns_while_a_template_takes_long(content: str) -> None:
    """Also for a short prompt: what takes long is in the template, not in the messages."""
    source = "{% for a in range(9999) %}{% for b in range(30) %}{% endfor %}{% endfor %}done"
    renderer = Renderer(TOKENIZER, ChatTemplate(source, {}))
    task = asyncio.create_task(renderer.render(chat(content)))
    turns = 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    assert TOKENIZER.decode(await task) == "done"
    assert turns > 10


async def test_a_template_that_asks_for_too_much_is_refused_for_a_short_prompt() -> None:
    renderer = Renderer(TOKENIZER, ChatTemplate("{{ 'x' * 10 ** 9 }}", {}))
    for content in ("short", "long " * INLINE_CHARS):
        with pytest.raises(InvalidRequest, match="characters, at most"):
            await renderer.render(chat(content))

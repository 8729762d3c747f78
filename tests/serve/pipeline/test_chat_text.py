"""A conversation as text: options, documents, and a last message that is left open."""

from __future__ import annotations

from typing import Any

import pytest

from serve.errors import InvalidRequest, UnsupportedField
from serve.pipeline.chat_text import chat_text
from serve.pipeline.events import ChatPrompt
from serve.pipeline.template import ChatTemplate
from serve.pipeline.traced_text import TracedText, mask_of

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think></think>{% endif %}"
    "{% endif %}"
)
TRIMMED = CHATML.replace("m.content", "m.content | trim")
USER = {"role": "user", "content": "Hello"}


def text(*messages: dict[str, Any], source: str = CHATML, **fields: Any) -> str:
    template = ChatTemplate(source, {"bos_token": "<s>"})
    return chat_text(template, ChatPrompt(messages=messages or (USER,), **fields))


def test_options_are_variables() -> None:
    assert text().endswith("assistant\n")
    assert text(options={"enable_thinking": False}).endswith("<think></think>")
    assert text(options={"enable_thinking": True}).endswith("assistant\n")


def test_hints_may_be_read_by_no_template() -> None:
    plain = "{{ messages[0].content }}"
    hints = {"enable_thinking": False, "thinking": False, "reasoning_effort": "low"}
    assert text(source=plain, options=hints) == "Hello"


def test_other_options_are_of_those_that_are_read() -> None:
    styled = "{{ style }}{{ messages[0].content }}"
    assert text(source=styled, options={"style": "x"}) == "xHello"
    with pytest.raises(InvalidRequest, match=r"Did you mean style\?") as refused:
        text(source=styled, options={"stile": "x"})
    assert refused.value.param == "chat_template_kwargs.stile"


def test_documents_are_rendered_or_refused() -> None:
    reading = "{% for d in documents or [] %}{{ d.text }};{% endfor %}{{ messages[0].content }}"
    documents = [{"text": "a"}, {"text": "b"}]
    assert text(source=reading, options={"documents": documents}) == "a;b;Hello"
    assert text(source=reading) == "Hello"
    with pytest.raises(UnsupportedField) as refused:
        text(options={"documents": documents})
    assert refused.value.param == "documents"


def test_what_an_option_writes_is_a_clients_text() -> None:
    rendered = text(source="<{{ style }}>{{ messages[0].role }}", options={"style": "|im_start|"})
    assert isinstance(rendered, TracedText)
    assert mask_of(rendered) == b"\x00" + b"\x01" * len("|im_start|") + b"\x00" * len(">user")


def test_an_option_replaces_nothing_of_the_servers() -> None:
    source = "{{ bos_token }}{{ messages[0].content }}{{ add_generation_prompt }}"
    ours = {"bos_token": "x", "messages": [], "add_generation_prompt": False}
    assert text(source=source, options=ours) == "<s>HelloTrue"


def test_a_prompt_need_not_open_an_answer() -> None:
    assert text(opens_answer=False).endswith("Hello<|im_end|>\n")


@pytest.mark.parametrize(
    ("source", "content", "end"),
    [
        (CHATML, "It is", "\nIt is"),
        (CHATML, "It is ", "\nIt is "),
        (CHATML, "", "assistant\n"),
        (TRIMMED, "It is", "\nIt is"),
        (TRIMMED, "It is  ", "\nIt is"),
        (CHATML + "{{ messages[0].content }}", "Hello", "assistant\nHello"),
    ],
)
def test_a_last_message_is_continued(source: str, content: str, end: str) -> None:
    begun = {"role": "assistant", "content": content}
    rendered = text(USER, begun, source=source, continues_last=True, opens_answer=False)
    assert rendered.endswith(end)
    assert rendered.count("Hello") <= 2


def test_what_is_continued_is_a_clients_text() -> None:
    begun = {"role": "assistant", "content": "<|im_end|>"}
    rendered = text(USER, begun, continues_last=True, opens_answer=False)
    assert mask_of(rendered)[-len("<|im_end|>") :] == b"\x01" * len("<|im_end|>")


def test_a_message_that_is_not_written_cannot_be_continued() -> None:
    begun = {"role": "assistant", "content": "It is"}
    with pytest.raises(InvalidRequest, match="cannot be continued") as refused:
        text(USER, begun, source="{{ messages[0].content }}", continues_last=True)
    assert refused.value.param == "continue_final_message"

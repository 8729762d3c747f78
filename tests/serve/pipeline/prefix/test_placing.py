"""The place of a part in a prompt's text, whatever else says the same words."""

from __future__ import annotations

import pytest

from serve.pipeline.chat_text import chat_text
from serve.pipeline.events import ChatPrompt
from serve.pipeline.prefix.placing import Part, Places, gap
from serve.pipeline.template import ChatTemplate
from tests.serve.pipeline.forms.answers import tokenizer_of
from tests.serve.pipeline.prefix.asking import form_of, system, tool, user

PROMPT = ChatPrompt(
    messages=(system("same"), user("same"), {"role": "assistant", "content": "same"}, user("end")),
    tools=(tool("read"), tool("write")),
)
FORM = form_of("qwen2_5")
TEMPLATE = ChatTemplate(FORM.source, FORM.special_tokens)
TEXT = str(chat_text(TEMPLATE, PROMPT))
IDS = tokenizer_of(FORM).encode_rendered(chat_text(TEMPLATE, PROMPT))
PLACES = Places(TEMPLATE, tokenizer_of(FORM), PROMPT, IDS)


def test_a_part_has_its_name() -> None:
    assert str(Part("messages", 3, "content")) == "messages[3].content"
    assert str(Part("tools", 1)) == "tools[1]"
    assert str(Part("chat_template")) == "chat_template"


def test_parts_are_found_though_they_say_the_same() -> None:
    regions = [PLACES.of_part(Part("messages", number, "content")) for number in range(4)]
    texts = [TEXT[slice(*region)] for region in regions if region]
    assert texts == ["same", "same", "same", "end"]
    assert regions == sorted(region for region in regions if region)
    region = PLACES.of_part(Part("tools", 1))
    assert region is not None
    assert '"write"' in TEXT[slice(*region)]
    assert '"read"' not in TEXT[slice(*region)]
    assert PLACES.of_part(Part("messages", 1, "tool_calls")) is None


def test_tokens_have_their_characters() -> None:
    for token in range(len(IDS)):
        start, end = PLACES.of_token(token)
        assert TEXT[start:end] == tokenizer_of(FORM).decode_raw([IDS[token]])
    assert PLACES.of_token(len(IDS)) == (len(TEXT), len(TEXT) + 1)


@pytest.mark.parametrize(
    "part", ["tools[0]", "tools[1]", *(f"messages[{n}].content" for n in range(4))]
)
def test_a_token_of_a_part_is_told_to_be(part: str) -> None:
    kind, _, rest = part.partition("[")
    number, _, name = rest.partition("]")
    region = PLACES.of_part(Part(kind, int(number), name.removeprefix(".")))
    assert region is not None
    token = next(t for t in range(len(IDS)) if PLACES.of_token(t)[1] > region[0])
    assert [str(found) for found in PLACES.at(token)] == [part, part]


def test_a_token_of_the_templates_has_a_nearest_part() -> None:
    first, last = PLACES.at(0), PLACES.at(len(IDS) - 1)
    assert [str(part) for part in first] == ["None", "messages[0]"]
    assert [str(part) for part in last] == ["None", "messages[3]"]


def test_reasoning_that_would_be_written_is_told() -> None:
    writes = ChatTemplate(
        "{% for m in messages %}{{ m.reasoning_content }}{{ m.content }}{% endfor %}", {}
    )
    prompt = ChatPrompt(messages=PROMPT.messages)
    assert Places(writes, tokenizer_of(FORM), prompt, IDS).writes_thought(2)
    assert not PLACES.writes_thought(2)


def test_gaps_are_counted_from_edge_to_edge() -> None:
    assert gap((5, 9), (8, 10)) == gap((5, 9), (2, 6)) == 0
    assert gap((5, 9), (9, 10)) == gap((5, 9), (3, 5)) == 1
    assert gap((5, 9), (12, 13)) == 4

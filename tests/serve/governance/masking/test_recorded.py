"""Fields beside the prompts in the audit trail: no data in them, and those of the engine whole."""

from __future__ import annotations

from serve.engine.grammars.grammar import Grammar
from serve.engine.protocol import SamplingParams
from serve.governance.masking.masking_file import parse_rules
from serve.governance.masking.recorded import recorded_fields, texts_beside
from serve.pipeline.events import CallableTool, Generation, TextPrompt, ToolUse
from tests.serve.governance.masking.test_prompts import MAIL, PHONE
from tests.serve.governance.masking.test_screen import screened

RULES = parse_rules('[default]\nmask = ["mobile_phone"]\nblock = ["email"]\ncount = ["ip"]').default
ASKED = Generation(
    prompts=(TextPrompt("x"),),
    sampling=SamplingParams(max_tokens=1),
    stop=(MAIL, "8.8.8.8"),
    bad_words=("none",),
    format=Grammar(kind="choice", choices=(PHONE, "no")),
    tool_use=ToolUse(
        tools=(CallableTool(name="f", parameters={"description": MAIL, PHONE: [int(PHONE), 3]}),)
    ),
)


def test_labels_stand_for_data() -> None:
    found = recorded_fields(ASKED, RULES)
    assert set(found) == {"stop", "format", "tool_use"}
    assert found["stop"] == ("[EMAIL]", "8.8.8.8")
    assert found["format"] == Grammar(kind="choice", choices=("[PHONE]", "no"))
    (tool,) = found["tool_use"].tools
    assert tool.parameters == {"description": "[EMAIL]", "[PHONE]": ["[PHONE]", 3]}


def test_all_of_their_texts_are_counted() -> None:
    assert {MAIL, PHONE, "none", "description"} <= set(texts_beside(ASKED))


async def test_the_engine_has_them_as_they_are() -> None:
    through = await screened("x", stop=(PHONE,))
    assert through.generation.stop == (PHONE,)
    assert through.recorded == {"stop": ("[PHONE]",)}


async def test_a_word_of_a_format_is_no_pseudonym_of_ours() -> None:
    through = await screened(MAIL, format=Grammar(kind="choice", choices=("<EMAIL_1>",)))
    assert through.generation.prompts == (TextPrompt("<EMAIL_2>"),)

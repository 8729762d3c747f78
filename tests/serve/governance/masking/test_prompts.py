"""All texts of a prompt are masked, whatever stands where; names that join its parts are not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from serve.engine.protocol import SamplingParams
from serve.errors import InvalidRequest, PersonalDataBlocked
from serve.governance.masking.masking_file import parse_rules
from serve.governance.masking.prompts import MaskedPrompts, pseudonyms_in
from serve.governance.masking.pseudonyms import Pseudonyms
from serve.governance.masking.replacing import Replacing, scanner_of
from serve.pipeline.events import (
    ChatPrompt,
    FillPrompt,
    Generation,
    Prompt,
    TextPrompt,
    TokensPrompt,
)

MAIL, PHONE = "ann@example.com", "13800138000"
PSEUDONYMISED = '[default]\npseudonymise = ["personal"]'


def asked(*prompts: Prompt) -> Generation:
    return Generation(prompts=prompts, sampling=SamplingParams(max_tokens=1))


def masked(*prompts: Prompt, rules: str = '[default]\nmask = ["personal"]') -> tuple[Prompt, ...]:
    own = parse_rules(rules).default
    generation = asked(*prompts)
    pseudonyms = Pseudonyms(pseudonyms_in(generation))
    replacing = Replacing(own, pseudonyms, lambda _rule: None)
    return MaskedPrompts(scanner_of(own), replacing).of(generation).prompts


CHAT = ChatPrompt(
    messages=(
        {"role": "system", "content": f"for {MAIL}"},
        {"role": "user", "content": f"call {PHONE}", "name": MAIL},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": f"it is {PHONE}",
            "tool_calls": [
                {
                    "id": "call_13800138000",
                    "type": "function",
                    "function": {
                        "name": "mail",
                        "arguments": json.dumps({"to": MAIL, "n": int(PHONE), "电": f"电{PHONE}"}),
                    },
                },
                {"type": "function", "function": {"name": "f", "arguments": {MAIL: int(PHONE)}}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_13800138000", "content": json.dumps(f"\n{PHONE}")},
    ),
    tools=(
        {
            "type": "function",
            "function": {
                "name": "mail",
                "description": f"asks {MAIL}",
                "parameters": {
                    "type": "object",
                    "required": ["to"],
                    "properties": {
                        "to": {"type": "string", "enum": [MAIL], "description": PHONE},
                        "type": {"default": {"name": MAIL}},
                    },
                },
            },
        },
    ),
    options={"date": f"on {PHONE}", "deep": {"list": [MAIL, 3, True]}},
)


def test_every_text_of_a_chat() -> None:
    (chat,) = masked(CHAT)
    assert isinstance(chat, ChatPrompt)
    system, user, assistant, tool = chat.messages
    assert system == {"role": "system", "content": "for [EMAIL]"}
    assert user == {"role": "user", "content": "call [PHONE]", "name": "[EMAIL]"}
    assert assistant["reasoning_content"] == "it is [PHONE]"
    first, second = assistant["tool_calls"]
    assert first["id"] == tool["tool_call_id"] == "call_13800138000"
    assert json.loads(first["function"]["arguments"]) == {
        "to": "[EMAIL]", "n": "[PHONE]", "电": "电[PHONE]",
    }  # fmt: skip
    assert second["function"] == {"name": "f", "arguments": {"[EMAIL]": "[PHONE]"}}
    assert json.loads(tool["content"]) == "\n[PHONE]"
    function = chat.tools[0]["function"]
    assert (function["name"], function["description"]) == ("mail", "asks [EMAIL]")
    properties = function["parameters"]["properties"]
    assert properties["to"] == {"type": "string", "enum": ["[EMAIL]"], "description": "[PHONE]"}
    assert properties["type"] == {"default": {"name": "[EMAIL]"}}
    assert function["parameters"]["required"] == ["to"]
    assert chat.options == {"date": "on [PHONE]", "deep": {"list": ["[EMAIL]", 3, True]}}
    left: dict[str, Any] = {"messages": [system, user], "tools": chat.tools}
    assert MAIL not in json.dumps(left)


def test_texts_to_continue_and_to_fill() -> None:
    text, fill = masked(TextPrompt(f"x {MAIL}"), FillPrompt(MAIL, PHONE))
    assert (text, fill) == (TextPrompt("x [EMAIL]"), FillPrompt("[EMAIL]", "[PHONE]"))


def test_token_ids_are_refused_for_nothing_can_be_found_in_them() -> None:
    with pytest.raises(InvalidRequest, match="Send the prompt as text") as error:
        masked(TokensPrompt((1, 2)))
    assert error.value.param == "prompt"


def test_a_conversation_that_goes_on_begins_as_before() -> None:
    rules = PSEUDONYMISED
    first = replace(CHAT, messages=CHAT.messages[:2])
    (before,), (after,) = masked(first, rules=rules), masked(CHAT, rules=rules)
    assert isinstance(before, ChatPrompt)
    assert isinstance(after, ChatPrompt)
    assert after.messages[:2] == before.messages
    assert after.messages[1]["content"] == "call <PHONE_1>"


def test_a_word_of_the_clients_own_is_not_taken_for_ours() -> None:
    (text,) = masked(TextPrompt(f"{MAIL} is not <EMAIL_1>"), rules=PSEUDONYMISED)
    assert text == TextPrompt("<EMAIL_2> is not <EMAIL_1>")


def test_what_is_blocked_is_named_by_its_rule_and_place_alone() -> None:
    with pytest.raises(PersonalDataBlocked) as error:
        masked(CHAT, rules='[default]\nblock = ["mobile_phone"]')
    assert "'mobile_phone'" in error.value.message
    assert PHONE not in error.value.message
    assert error.value.param is not None
    assert error.value.param.startswith("tools[0]")


def test_comments_and_unknown_words_of_a_schema_are_texts() -> None:
    parameters = {
        "type": "object",
        "$comment": f"ask {PHONE}",
        "format": PHONE,
        "$ref": "#/$defs/a",
        f"x-{PHONE}": MAIL,
        "properties": {"n": {"const": float(PHONE), "multipleOf": 0.5}},
    }
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    (chat,) = masked(ChatPrompt(messages=(), tools=(tool,)))
    assert isinstance(chat, ChatPrompt)
    assert chat.tools[0]["function"]["parameters"] == {
        "type": "object",
        "$comment": "ask [PHONE]",
        "format": "[PHONE]",
        "$ref": "#/$defs/a",
        "x-[PHONE]": "[EMAIL]",
        "properties": {"n": {"const": "[PHONE]", "multipleOf": 0.5}},
    }

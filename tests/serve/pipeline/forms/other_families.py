"""Forms of Granite, Command, Phi, Apertus, Jamba, EXAONE, Solar, gpt-oss and Gemma."""

from __future__ import annotations

from functools import partial

from tests.serve.pipeline.forms.form import Form
from tests.serve.pipeline.forms.markup import DROPS, THINK, TOOL_CALL

_granite = partial(
    Form,
    special=("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>", "<|tool_call|>"),
    eos="<|end_of_text|>",
    ends=("<|end_of_text|>",),
)
_command = partial(
    Form,
    special=("<BOS_TOKEN>", "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
    bos="<BOS_TOKEN>",
    eos="<|END_OF_TURN_TOKEN|>",
    ends=("<|END_OF_TURN_TOKEN|>",),
)
_exaone = partial(
    Form,
    template="exaone4",
    special=("[|system|]", "[|user|]", "[|assistant|]", "[|tool|]", "[|endofturn|]"),
    added=(*TOOL_CALL, *THINK),
    eos="[|endofturn|]",
    ends=("[|endofturn|]",),
)

OTHERS = [
    _granite("granite4", added=TOOL_CALL),
    _granite(
        "granite3", content_with_calls=False, odd="a list opened by a token, and never closed"
    ),
    _command(
        "command_r7b",
        added=(
            *("<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|SYSTEM_TOKEN|>", "<|START_THINKING|>"),
            *("<|END_THINKING|>", "<|START_ACTION|>", "<|END_ACTION|>", "<|START_RESPONSE|>"),
            *("<|END_RESPONSE|>", "<|START_TOOL_RESULT|>", "<|END_TOOL_RESULT|>"),
        ),
        content_with_calls=False,
        reasoning="reasoning_content",
        thinks_with="calls",
        ids="count",
        odd="the content stands in markup of its own; a call's id counts over the conversation",
    ),
    _command(
        "command_r_plus",
        marks=("Action:\n```json",),
        exact=False,
        value_end="\u2028",
        odd="calls are JSON over several lines, which the filter indent breaks at U+2028, too",
    ),
    Form(
        "phi4_mini",
        special=("<|end|>", "<|user|>", "<|assistant|>", "<|system|>"),
        added=("<|tool|>", "<|/tool|>", "<|tool_call|>", "<|/tool_call|>", "<|tool_response|>"),
        eos="<|end|>",
        ends=("<|end|>",),
        odd="models often write the bare list, without the tokens around it",
    ),
    Form(
        "apertus",
        special=(
            *("<s>", "<|system_start|>", "<|system_end|>", "<|developer_start|>"),
            *("<|developer_end|>", "<|user_start|>", "<|user_end|>", "<|assistant_start|>"),
            *("<|assistant_end|>", "<|tools_prefix|>", "<|tools_suffix|>"),
        ),
        bos="<s>",
        eos="<|assistant_end|>",
        ends=("<|assistant_end|>", "<|tools_suffix|>"),
        odd="a call is an object whose one key is the name; <|tools_suffix|> ends the turn, and "
        "one assistant's turn holds calls, results and content",
    ),
    Form(
        "jamba",
        special=("<|startoftext|>", "<|bom|>", "<|eom|>", "<|endoftext|>"),
        bos="<|startoftext|>",
        eos="<|eom|>",
        ends=("<|eom|>",),
        marks=("<tool_calls>", "</tool_calls>"),
        odd="the list of calls has new lines and indents",
    ),
    _exaone(
        "exaone4",
        not_append_only="the empty reasoning of the generation prompt is left out of history",
    ),
    _exaone(
        "exaone4_think",
        arguments={"enable_thinking": True},
        reasoning="reasoning_content",
        opened="<think>\n",
        not_append_only=DROPS,
    ),
    Form(
        "solar_open",
        special=(
            *("<|begin|>", "<|end|>", "<|content|>", "<|think|>", "<|tool_calls|>", "<|calls|>"),
            *("<|tool_call:begin|>", "<|tool_call:name|>", "<|tool_call:args|>"),
            *("<|tool_call:end|>", "<|tool_response|>", "<|tool_response:begin|>"),
        ),
        eos="<|end|>",
        ends=("<|end|>", "<|calls|>"),
        content_with_calls=False,
        reasoning="reasoning",
        ids="nine",
        not_append_only=DROPS,
        odd="<|end|> closes the reasoning, too, and another message of the assistant follows: "
        "it cannot be a stop token; the message's key is 'reasoning'",
    ),
    Form(
        "gpt_oss",
        special=(
            *("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>"),
            *("<|call|>", "<|return|>"),
        ),
        eos="<|return|>",
        ends=("<|return|>", "<|call|>"),
        calls="one",
        content_with_calls=False,
        reasoning="thinking",
        not_append_only="reasoning is left out, and <|return|> becomes <|end|>",
        table="harmony: channels, and the recipient in the header",
        odd="models write the recipient behind the channel: <|channel|>commentary to=functions.f "
        "<|constrain|>json<|message|>; content may come in the channel commentary as well",
    ),
    Form(
        "function_gemma",
        special=(
            *("<bos>", "<start_of_turn>", "<end_of_turn>", "<start_function_call>"),
            *("<end_function_call>", "<start_function_response>", "<end_function_response>"),
            *("<start_function_declaration>", "<end_function_declaration>", "<escape>"),
        ),
        bos="<bos>",
        eos="<end_of_turn>",
        ends=("<end_of_turn>", "<start_function_response>"),
        values="escaped",
        value_end="<escape>",
        exact=False,
        table="arguments are no JSON: strings stand between <escape>, keys are bare",
        odd="a turn with calls ends with <start_function_response>; keys are sorted",
    ),
]

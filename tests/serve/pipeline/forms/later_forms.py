"""Ten forms written after the derivation of dialects and without sight of it.

The derivation stood at commit 923406e when they were written. What it has needed since for them and
for others stands in docs/adr/0037-model-dialects.md.
"""

from __future__ import annotations

from tests.serve.pipeline.forms.form import Form
from tests.serve.pipeline.forms.markup import DROPS, IM, THINK, TOOL_CALL, XML_MARKS, chatml

LATER_FORMS = [
    Form(
        "gigachat3",
        special=("<s>", "<|role_sep|>", "<|message_sep|>"),
        bos="<s>",
        eos="<|message_sep|>",
        ends=("<|message_sep|>",),
        marks=("function call",),
        calls="one",
        odd="<|message_sep|> ends the content, too, before a call, which is a message of its own",
    ),
    Form(
        "apriel",
        special=("<s>", "<|begin_system|>", "<|begin_user|>", "<|begin_assistant|>", "<|end|>"),
        bos="<s>",
        eos="<|end|>",
        ends=("<|end|>",),
        marks=("<tool_calls>", "</tool_calls>", "[BEGIN FINAL RESPONSE]"),
        exact=False,
        reasoning="reasoning_content",
        opened="My steps:\n",
        not_append_only="reasoning of earlier turns is left out",
        odd="words open the reasoning, and only its end is marked; a new line before the end",
    ),
    Form(
        "reka",
        special=("<sep>",),
        marks=(*TOOL_CALL, *THINK),
        eos="<sep>",
        ends=("<sep>",),
        exact=False,
        reasoning="reasoning_content",
        opened="<think>\n",
        odd="two new lines before the end",
    ),
    Form(
        "hyperclovax",
        special=(*IM, "<|endofturn|>", "<|stop|>"),
        eos="<|endofturn|>",
        ends=("<|im_end|><|endofturn|>", "<|im_end|><|stop|>"),
        exact=False,
        reasoning="reasoning_content",
        not_append_only="reasoning of earlier turns is left out",
        odd="reasoning, content and calls are messages of their own, told apart by their role",
    ),
    chatml(
        "mirothinker",
        added=THINK,
        marks=("<use_mcp_tool>", "</use_mcp_tool>", "<server_name>", "<tool_name>", "<arguments>"),
        reasoning="reasoning_content",
        odd="the name in one tag, the arguments as JSON in another",
    ),
    chatml(
        "openthinker",
        added=(
            *("<|begin_of_thought|>", "<|end_of_thought|>"),
            *("<|begin_of_solution|>", "<|end_of_solution|>"),
        ),
        calls="none",
        reasoning="reasoning_content",
        odd="the content stands in markup of its own",
    ),
    chatml(
        "step3_5",
        special=(*IM, "<s>"),
        bos="<s>",
        added=(*TOOL_CALL, *THINK),
        marks=XML_MARKS,
        values="text",
        value_end="</parameter>",
        reasoning="reasoning_content",
        opened="<think>\n",
        not_append_only=DROPS,
        odd="nothing between content and call, nor between calls",
    ),
    Form(
        "dots",
        special=("<|response|>", "<|endofresponse|>", "<|userprompt|>", "<|endofuserprompt|>"),
        added=("<tool_call>", "</tool_call>"),
        eos="<|endofresponse|>",
        ends=("<|endofresponse|>",),
        odd="the arguments come before the name",
    ),
    Form(
        "command_a",
        special=("<BOS_TOKEN>", "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
        added=(
            *("<|START_THINKING|>", "<|END_THINKING|>", "<|START_ACTION|>", "<|END_ACTION|>"),
            *("<|START_TEXT|>", "<|END_TEXT|>", "<|CHATBOT_TOKEN|>", "<|USER_TOKEN|>"),
        ),
        bos="<BOS_TOKEN>",
        eos="<|END_OF_TURN_TOKEN|>",
        ends=("<|END_OF_TURN_TOKEN|>",),
        content_with_calls=False,
        reasoning="reasoning_content",
        ids="count",
    ),
    chatml(
        "intern_s1",
        special=(*IM, "<s>", "<|action_start|>", "<|action_end|>", "<|plugin|>"),
        bos="<s>",
        added=THINK,
        reasoning="reasoning_content",
        opened="<think>",
    ),
]

"""Ten forms written after the derivation stood at commit e47623b, without sight of it."""

from __future__ import annotations

from tests.serve.pipeline.forms.form import Form
from tests.serve.pipeline.forms.markup import DROPS, IM, THINK, TOOL_CALL, chatml

_ARGS = ("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>")

THIRD_FORMS = [
    Form(
        "gemma4",
        special=(
            *("<bos>", "<eos>", "<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>"),
            *("<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>", "<|tool_response>"),
            *("<tool_response|>", '<|"|>'),
        ),
        bos="<bos>",
        eos="<eos>",
        ends=("<turn|>", "<|tool_response>"),
        content_with_calls=False,
        values="escaped",
        value_end='<|"|>',
        reasoning="reasoning_content",
        thinks_with="calls",
        exact=False,
        arguments={"enable_thinking": True},
        not_append_only=DROPS,
        odd="a turn with calls ends with <|tool_response>, which opens the first result, too, and "
        "goes on behind it; null is None; models reason before a content as well, which the "
        "template never renders",
    ),
    chatml(
        "lfm2_5",
        special=(*IM, "<|tool_call_start|>", "<|tool_call_end|>", "<|startoftext|>"),
        added=THINK,
        bos="<|startoftext|>",
        values="python",
        reasoning="thinking",
        not_append_only=DROPS,
        odd="public templates put every string between single quotes, with none escaped; lists are "
        "Python's, objects JSON's",
    ),
    Form(
        "hy3",
        special=(
            *("<｜hy_begin▁of▁sentence｜>", "<｜hy_eos｜>", "<｜hy_User｜>", "<｜hy_Assistant｜>"),
            "<｜reasoning_mode｜>",
        ),
        added=(
            *("<tool_calls>", "</tool_calls>", "<tool_sep>", "<tool_responses>"),
            *("</tool_responses>", *TOOL_CALL, *_ARGS, *THINK),
        ),
        bos="<｜hy_begin▁of▁sentence｜>",
        eos="<｜hy_eos｜>",
        ends=("<｜hy_eos｜>",),
        values="text",
        value_end="</arg_value>",
        reasoning="reasoning_content",
        opened="<think>",
        arguments={"reasoning_effort": "high", "is_training": True},
        odd="without is_training, a last content is not ended, and reasoning is rendered only with "
        "tools and interleaved_thinking",
    ),
    Form(
        "laguna",
        special=("〈|EOS|〉", "<assistant>", "</assistant>"),
        added=(
            *("<system>", "</system>", "<user>", "</user>", *TOOL_CALL, *_ARGS, *THINK),
            *("<available_tools>", "</available_tools>"),
        ),
        eos="〈|EOS|〉",
        ends=("</assistant>",),
        values="text",
        value_end="</arg_value>",
        reasoning="reasoning_content",
        opened="<think>",
        arguments={"enable_thinking": True},
        odd="a turn's tags are named for its role; reasoning stays in history",
    ),
    chatml(
        "minicpm5",
        special=(*IM, "<s>", "</s>"),
        added=THINK,
        marks=("<function name=", "</function>", "<param name=", "</param>"),
        bos="<s>",
        values="text",
        value_end="</param>",
        reasoning="reasoning_content",
        opened="<think>\n",
        arguments={"enable_thinking": True},
        odd="a value with <, & or a line's end stands in a CDATA section, any other does not",
    ),
    chatml(
        "minicpm3",
        special=(
            *(*IM, "<|thought_start|>", "<|thought_end|>"),
            *("<|tool_call_start|>", "<|tool_call_end|>"),
        ),
        values="python",
        reasoning="dropped",
        thought="<|thought_start|>\n{}\n<|thought_end|>\n",
        not_append_only="reasoning is never rendered",
        odd="a call on each line of a fence of Python; true, false and null as in JSON; calls "
        "stand before the content; the template reads reasoning from a key of its own, 'thought'",
    ),
    Form(
        "solar_open2",
        special=(
            *("<|im:start|>", "<|im:content|>", "<|im:end|>", "<|think:start|>", "<|think:end|>"),
            *("<|tool:start|>", "<|tool:end|>", "<|tool_call:start|>", "<|tool_call:end|>"),
            *("<|tool_arg:start|>", "<|tool_arg:value|>", "<|tool_arg:end|>"),
            *("<|tool_response:start|>", "<|tool_response:end|>"),
        ),
        eos="<|im:end|>",
        ends=("<|im:end|>",),
        values="text",
        value_end="<|tool_arg:end|>",
        reasoning="reasoning_content",
        opened="<|think:start|>",
        not_append_only=DROPS,
        odd="a line ends between the last call and the turn's end; all markup is special tokens",
    ),
    Form(
        "k_exaone",
        special=(
            *("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|tool_declare|>"),
            "<|endofturn|>",
        ),
        added=(*TOOL_CALL[:2], *THINK),
        eos="<|endofturn|>",
        ends=("<|endofturn|>",),
        exact=False,
        reasoning="reasoning_content",
        opened="<think>\n",
        not_append_only=DROPS,
        odd="an empty reasoning stays where there was one",
    ),
    Form(
        "dots3",
        special=(
            *("<|system|>", "<|endofsystem|>", "<|user|>", "<|endofuser|>", "<|assistant|>"),
            "<|endofassistant|>",
        ),
        added=THINK,
        marks=(
            *("<dots_function_call>", "</dots_function_call>", "<invoke name=", "</invoke>"),
            *("<parameter name=", "</parameter>"),
        ),
        eos="<|endofassistant|>",
        ends=("<|endofassistant|>",),
        values="text",
        value_end="</parameter>",
        reasoning="reasoning_content",
        odd="each call in a block of its own, with a new line before it even where nothing stands "
        "before; the prompt does not open the reasoning",
    ),
    chatml(
        "phi4_reasoning",
        special=(*IM, "<|im_sep|>"),
        added=THINK,
        calls="none",
        reasoning="inline",
        thought="<think>\n{}\n</think>\n\n",
        odd="how reasoning is marked stands in the template's instructions alone",
    ),
]

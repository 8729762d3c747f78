"""Forms of DeepSeek, Kimi, GLM, MiniMax, Seed, Hunyuan, Step and Ling."""

from __future__ import annotations

from functools import partial

from tests.serve.pipeline.forms.form import Form
from tests.serve.pipeline.forms.markup import DROPS, THINK, TOOL_CALL, XML_MARKS

_DEEPSEEK = ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>")
_deepseek = partial(
    Form,
    special=_DEEPSEEK[:2],
    added=(
        *_DEEPSEEK[2:],
        *("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>"),
        *("<｜tool▁call▁end｜>", "<｜tool▁sep｜>", "<｜tool▁outputs▁begin｜>"),
        *("<｜tool▁outputs▁end｜>", "<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>", *THINK),
    ),
    bos=_DEEPSEEK[0],
    eos=_DEEPSEEK[1],
    ends=(_DEEPSEEK[1],),
)

DEEPSEEK = [
    _deepseek("deepseek_v3", odd="arguments are the client's text, in a fence of code"),
    _deepseek(
        "deepseek_r1",
        reasoning="dropped",
        opened="<think>\n",
        thought="{}\n</think>\n\n",
        thinks_with="user",
        not_append_only="reasoning is never rendered",
        odd="behind a tool's results no turn is opened, and no reasoning; V3's table of calls",
    ),
    _deepseek(
        "deepseek_v3_1",
        odd="behind a tool's results no turn is opened; the prompt ends with </think>",
    ),
    _deepseek(
        "deepseek_v3_1_think",
        template="deepseek_v3_1",
        arguments={"thinking": True},
        reasoning="dropped",
        opened="<think>",
        thought="{}",
        thinks_with="user",
        not_append_only="reasoning is never rendered",
        odd="the variable is 'thinking', not 'enable_thinking'; history has </think> alone",
    ),
    _deepseek(
        "deepseek_v3_2",
        marks=("<｜DSML｜", "</｜DSML｜"),
        values="tagged",
        value_end="</｜DSML｜parameter>",
        reasoning="reasoning_content",
        opened="<think>",
        not_append_only=DROPS,
        odd="a string's type is written beside its name",
    ),
]

_kimi = partial(
    Form,
    special=("<|im_user|>", "<|im_assistant|>", "<|im_system|>", "<|im_middle|>", "<|im_end|>"),
    added=(
        *("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", "<|tool_call_begin|>"),
        *("<|tool_call_argument_begin|>", "<|tool_call_end|>"),
    ),
    eos="<|im_end|>",
    ends=("<|im_end|>",),
    ids="functions",
)
_glm = partial(
    Form,
    special=("<|user|>", "<|assistant|>", "<|observation|>", "<|system|>", "<|endoftext|>"),
    added=(*TOOL_CALL, *THINK, "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"),
    eos="<|endoftext|>",
    values="text",
    value_end="</arg_value>",
    exact=False,
)

CHINESE = [
    _kimi("kimi_k2", odd="the number in a call's id counts over the whole conversation"),
    _kimi(
        "kimi_k2_thinking",
        marks=THINK,
        reasoning="reasoning_content",
        not_append_only=DROPS,
        table="the name of a call stands in its id alone, which is the client's",
    ),
    _glm(
        "glm4_5",
        reasoning="reasoning_content",
        not_append_only=DROPS,
        odd="the template writes no end of a turn: the model writes <|user|> or <|observation|>, "
        "its end tokens, after it; an answer begins with a new line",
    ),
    _glm(
        "glm4_5_no_think",
        template="glm4_5",
        arguments={"enable_thinking": False},
        odd="as glm4_5",
    ),
    _glm(
        "glm4_7",
        reasoning="reasoning_content",
        opened="<think>",
        not_append_only=DROPS,
        odd="as glm4_5, with no new lines",
    ),
    Form(
        "minimax_m1",
        special=("<begin_of_document>", "<beginning_of_sentence>", "<end_of_sentence>"),
        eos="<end_of_sentence>",
        ends=("<end_of_sentence>",),
        marks=("<tool_calls>", "</tool_calls>"),
        content_with_calls=False,
        exact=False,
    ),
    Form(
        "minimax_m2",
        special=("]~!b[", "]~b]", "[e~["),
        added=("<minimax:tool_call>", "</minimax:tool_call>", *THINK),
        marks=("<invoke name=", "</invoke>", "<parameter name=", "</parameter>"),
        eos="[e~[",
        ends=("[e~[",),
        values="text",
        value_end="</parameter>",
        reasoning="reasoning_content",
        opened="<think>\n",
        not_append_only=DROPS,
    ),
    Form(
        "seed_oss",
        special=("<seed:bos>", "<seed:eos>"),
        added=("<seed:think>", "</seed:think>", "<seed:tool_call>", "</seed:tool_call>"),
        marks=XML_MARKS,
        bos="<seed:bos>",
        eos="<seed:eos>",
        ends=("<seed:eos>",),
        values="scalars",
        value_end="</parameter>",
        reasoning="reasoning_content",
        exact=False,
        odd="lists and objects are rendered as Python writes them; models write JSON",
    ),
    Form(
        "hunyuan",
        special=("<|startoftext|>", "<|extra_0|>", "<|extra_4|>", "<|eos|>"),
        eos="<|eos|>",
        ends=("<|eos|>",),
        marks=("<tool_calls>", "</tool_calls>", "助手："),
        odd="a content without calls begins with 助手：, one with calls does not",
    ),
    Form(
        "step3",
        special=("<s>", "<|BOT|>", "<|EOT|>"),
        added=(
            *("<｜tool_calls_begin｜>", "<｜tool_calls_end｜>", "<｜tool_call_begin｜>"),
            *("<｜tool_call_end｜>", "<｜tool_sep｜>", *THINK),
        ),
        marks=("<steptml:", "</steptml:"),
        bos="<s>",
        eos="<|EOT|>",
        ends=("<|EOT|>",),
        values="text",
        value_end="</steptml:parameter>",
        reasoning="dropped",
        opened="<think>\n",
        thought="{}\n</think>\n",
        not_append_only="reasoning is never rendered",
    ),
    Form(
        "ling",
        special=("<|role_end|>",),
        added=("<role>", "</role>"),
        marks=(*TOOL_CALL, *THINK),
        eos="<|role_end|>",
        ends=("<|role_end|>",),
        reasoning="reasoning_content",
    ),
]

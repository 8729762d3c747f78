"""Forms of Llama's line, of Nemotron and of Mistral."""

from __future__ import annotations

from functools import partial

from tests.serve.pipeline.forms.form import Form
from tests.serve.pipeline.forms.markup import DROPS, PYTHON, THINK, TOOL_CALL, XML_MARKS, chatml

_HEADERS = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
_llama = partial(
    Form,
    special=(*_HEADERS, "<|eom_id|>", "<|python_tag|>"),
    bos="<|begin_of_text|>",
    eos="<|eot_id|>",
    ends=("<|eot_id|>", "<|eom_id|>"),
)
_llama4 = partial(
    Form,
    special=("<|begin_of_text|>", "<|header_start|>", "<|header_end|>", "<|eot|>", "<|eom|>"),
    bos="<|begin_of_text|>",
    eos="<|eot|>",
    ends=("<|eot|>",),
)

LLAMA = [
    _llama(
        "llama3_1",
        calls="one",
        content_with_calls=False,
        bare="{",
        exact=False,
        odd="models put <|python_tag|>, a special token, before a call, and write several calls "
        "with ; between them; the template knows neither",
    ),
    _llama4(
        "llama4",
        bare="{",
        marks=('{"name":',),
        odd="calls follow each other and the content with nothing between",
    ),
    _llama4(
        "llama4_pythonic",
        values="python",
        content_with_calls=False,
        bare="[",
        table="arguments are Python's keywords",
        odd="public templates write every value as a text in quotes, with none escaped",
    ),
    _llama("functionary_v3_1", marks=("<function=", "</function>")),
    _llama(
        "functionary_v3_2",
        marks=(">>>",),
        odd="the generation prompt ends with the >>> that opens a content or a call: an answer "
        "begins with the name, and 'all' is the name of the content",
    ),
    _llama("firefunction", marks=("functools[",), exact=False, odd="a space before functools"),
    _llama(
        "nemotron_super",
        marks=("<TOOLCALL>", "</TOOLCALL>", *THINK),
        reasoning="dropped",
        thought="<think>\n{}\n</think>\n\n",
        not_append_only="reasoning is never rendered",
    ),
]

NEMOTRON = [
    Form(
        "nemotron_nano_v2",
        special=("<SPECIAL_10>", "<SPECIAL_11>", "<SPECIAL_12>"),
        eos="<SPECIAL_12>",
        ends=("<SPECIAL_12>",),
        marks=("<TOOLCALL>", "</TOOLCALL>", *THINK),
        reasoning="dropped",
        opened="<think>\n",
        thought="{}\n</think>\n\n",
        exact=False,
        not_append_only="reasoning is never rendered",
        odd="a line ends before the token that ends the turn",
    ),
    chatml(
        "nemotron_3",
        added=(*TOOL_CALL, *THINK),
        marks=XML_MARKS,
        values="text",
        value_end="</parameter>",
        exact=False,
        reasoning="reasoning_content",
        opened="<think>\n",
        not_append_only=DROPS,
        odd=PYTHON,
    ),
]

_mistral = partial(
    Form,
    special=(
        *("<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"),
        *("[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CONTENT]", "[CALL_ID]"),
        *("[ARGS]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[THINK]", "[/THINK]"),
    ),
    bos="<s>",
    eos="</s>",
    ends=("</s>",),
)

MISTRAL = [
    _mistral(
        "mistral_v3",
        content_with_calls=False,
        ids="nine",
        exact=False,
        not_append_only="the tools are told of before the last message of the user",
        odd="an id of other than nine letters and digits is refused; a space before each content",
    ),
    _mistral("mistral_v7", content_with_calls=False, ids="nine"),
    _mistral(
        "mistral_v11",
        content_with_calls=False,
        ids="nine",
        odd="an id of other than nine letters and digits is refused; later models leave it out",
    ),
    _mistral("devstral"),
    _mistral(
        "ministral3",
        reasoning="blocks",
        odd="reasoning is a block of the content with type 'thinking', and no key of the message",
    ),
]

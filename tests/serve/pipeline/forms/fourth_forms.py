"""Ten forms written after the derivation stood at commit 5766d9d, without sight of it.

They were chosen from the open instruct models that are most served in 2025 and 2026, among those
whose own template the corpus did not have: Llama 3.2 and 3.3, Qwen3 Instruct of 2507 (and Next) and
Qwen3-VL, DeepSeek's R1 distillations and R1-0528, Mistral Small 3.1 and 3.2, GLM-4.6, Granite 3.3.
Where such a model shares another form's markup, its template still has its own branches, defaults
and handling of the system's message.
"""

from __future__ import annotations

from functools import partial

from tests.serve.pipeline.forms.form import Form
from tests.serve.pipeline.forms.markup import DROPS, THINK, TOOL_CALL, chatml

_llama = partial(
    Form,
    special=(
        *("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        *("<|eom_id|>", "<|python_tag|>"),
    ),
    bos="<|begin_of_text|>",
    eos="<|eot_id|>",
    ends=("<|eot_id|>", "<|eom_id|>"),
    calls="one",
    content_with_calls=False,
    bare="{",
    exact=False,
)
_BEGIN, _END = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
_deepseek = partial(
    Form,
    special=(_BEGIN, _END),
    added=(
        *("<｜User｜>", "<｜Assistant｜>", "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"),
        *("<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>"),
        *("<｜tool▁outputs▁begin｜>", "<｜tool▁outputs▁end｜>", "<｜tool▁output▁begin｜>"),
        *("<｜tool▁output▁end｜>", *THINK),
    ),
    bos=_BEGIN,
    eos=_END,
    ends=(_END,),
    reasoning="dropped",
    not_append_only="reasoning is never rendered",
)
_mistral = partial(
    Form,
    special=(
        *("<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"),
        *("[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CONTENT]", "[CALL_ID]"),
        *("[ARGS]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[IMG]"),
    ),
    bos="<s>",
    eos="</s>",
    ends=("</s>",),
    content_with_calls=False,
    ids="nine",
    not_append_only="the tools are told of before the last message of the user",
)

FOURTH_FORMS = [
    _llama(
        "llama3_2",
        odd="the list of messages is cut by the template itself; a date stands in the system's "
        "message; whether a message has calls is asked by its key",
    ),
    _llama(
        "llama3_3",
        odd='with builtin_tools, which no request has, a call is <|python_tag|>f.call(a="b") and '
        "ends with <|eom_id|>; models put <|python_tag|> before other calls, too",
    ),
    chatml(
        "qwen3_instruct",
        added=(*TOOL_CALL, *THINK),
        odd="Qwen3 Instruct as of 2507, and Next: qwen3's calls, without any reasoning",
    ),
    chatml(
        "qwen3_vl",
        added=(*TOOL_CALL, *THINK, "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"),
        odd="a content may be a list of parts, images among them",
    ),
    _deepseek(
        "deepseek_r1_distill",
        calls="none",
        opened="<think>\n",
        thought="{}\n</think>\n\n",
        odd="tools are not told of, and calls are rendered only where the content is null: one "
        "call is then never ended, and the second ends the list",
    ),
    _deepseek(
        "deepseek_r1_0528",
        thought="<think>\n{}\n</think>\n\n",
        thinks_with="user",
        odd="the user's message opens the assistant's turn, and the prompt no reasoning; behind a "
        "tool's results no turn is opened; tools are not told of",
    ),
    _mistral(
        "mistral_small3_1",
        odd="a call is the client's function object with an id put into its end, so the order of "
        "name and arguments is the client's; the prompt has results as JSON",
    ),
    _mistral(
        "mistral_small3_2",
        odd="an id of other than nine letters and digits is refused, as are turns that do not "
        "alternate",
    ),
    Form(
        "glm4_6",
        special=("<|user|>", "<|assistant|>", "<|observation|>", "<|system|>", "<|endoftext|>"),
        added=(*TOOL_CALL, *THINK, "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"),
        eos="<|endoftext|>",
        values="text",
        value_end="</arg_value>",
        exact=False,
        reasoning="reasoning_content",
        not_append_only=DROPS,
        odd="no end of a turn, as glm4_5; contents go through a macro; without thinking, every "
        "message of the user ends with /nothink",
    ),
    Form(
        "granite3_3",
        special=("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>", "<|tool_call|>"),
        added=("<|start_of_cite|>", "<|end_of_cite|>"),
        marks=(*THINK, "<response>", "</response>"),
        eos="<|end_of_text|>",
        ends=("<|end_of_text|>",),
        calls="none",
        odd="how calls, thoughts and citations are marked stands in the instructions alone, and "
        "only where there is no system's message: none is tested. The generation prompt stands "
        "within the loop",
    ),
]

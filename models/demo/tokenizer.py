"""The demo's tokenizer: a byte-level BPE learned from the corpus, and the chat template's text.

Three choices help a very small network. Digits are single tokens, so sums line up. A space before
a word is a token of its own, so a word has the same token wherever it is copied from. Chinese
characters are single tokens too, or whole questions would become one. The two
sentences that the chat template writes around tool declarations are one token each, so a tool
prompt is short.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from models.demo.conversation import Conversation

VOCABULARY = 4096
PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
TAGS = ("<tool_call>", "</tool_call>", "<tools>", "</tools>", "<tool_response>", "</tool_response>")
TOOLS_BEFORE = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
)
TOOLS_AFTER = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments "
    "within <tool_call></tool_call> XML tags:\n<tool_call>\n"
    '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
)
SPLITS = r"\p{N}|\p{Han}| ?[^\s\p{L}\p{N}]+|(?:(?!\p{Han})\p{L})+|\s"
TEMPLATE = Path(__file__).parent / "data" / "chat_template.jinja"


def render(conversation: Conversation) -> str:
    """The chat template in Python: the same text as the Jinja file, a hundred times faster."""
    messages = conversation.messages
    parts = []
    system = ""
    if messages[0]["role"] == "system":
        system, messages = messages[0]["content"], messages[1:]
    if conversation.tools:
        tools = "".join("\n" + json.dumps(t, ensure_ascii=False) for t in conversation.tools)
        head = system + "\n\n" if system else ""
        parts.append(f"{START}system\n{head}{TOOLS_BEFORE}{tools}{TOOLS_AFTER}{END}\n")
    elif system:
        parts.append(f"{START}system\n{system}{END}\n")
    for message in messages:
        role, content = message["role"], message["content"] or ""
        if role == "tool":
            role, content = "user", f"<tool_response>\n{content}\n</tool_response>"
        for call in message.get("tool_calls", ()):
            function = call["function"]
            body = f'{{"name": "{function["name"]}", "arguments": {function["arguments"]}}}'
            content += ("\n" if content else "") + f"<tool_call>\n{body}\n</tool_call>"
        parts.append(f"{START}{role}\n{content}{END}\n")
    return "".join(parts)


def train(texts: Iterable[str], vocabulary: int = VOCABULARY) -> Tokenizer:
    """Learn a tokenizer; the ids of the special tokens come first, in a fixed order."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLITS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    added = [*TAGS, TOOLS_BEFORE, TOOLS_AFTER]
    tokenizer.add_special_tokens([PAD, START, END])
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(added),
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(added)
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path, max_length: int) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": PAD,
        "bos_token": None,
        "unk_token": None,
        "additional_special_tokens": [START],
        "model_max_length": max_length,
        "clean_up_tokenization_spaces": False,
        "add_bos_token": False,
        "padding_side": "left",
    }
    text = json.dumps(config, ensure_ascii=False, indent=2)
    (folder / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")
    (folder / TEMPLATE.name).write_text(TEMPLATE.read_text(encoding="utf-8"), encoding="utf-8")

"""The tokens that end an answer, from all files of a model folder that name one.

Fine-tunes change one file and forget the others: config.json keeps the base model's
``<|endoftext|>`` while the tokenizer says ``<|im_end|>``, which is what the model was taught. So
whatever any of them names ends an answer, and so do the tokens of the vocabulary that are known to
end a turn and that the chat template writes. The log says where the files differ.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig

from serve.engine.model_files import read_json

log = logging.getLogger(__name__)

TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end_of_turn|>", "<|end|>")
"""Names of special tokens after which it is the other's turn, in the templates of their models."""
NO_TURN_ENDS = {"<|end|>": "<|return|>"}
"""Where the second is in the vocabulary, too, the first ends a part of a turn (gpt-oss)."""


def eos_token_ids(folder: Path, config: PretrainedConfig) -> frozenset[int]:
    """End-of-sequence ids: the union of what the folder's files name; one log line if they differ.

    What is no id of the vocabulary is passed over, and named in that line.

    Args:
        config: as the engine has it, with its model's own defaults.
    """
    text_config = config.get_text_config()
    vocab_size = getattr(text_config, "vocab_size", None)
    tokenizer_config = read_json(folder / "tokenizer_config.json") or {}
    tokens = _tokens(folder, tokenizer_config)
    special_map = read_json(folder / "special_tokens_map.json") or {}
    generation = read_json(folder / "generation_config.json") or {}
    named: dict[str, list[Any]] = {
        "config.json": _listed(getattr(text_config, "eos_token_id", None))
        + _listed(getattr(config, "eos_token_id", None)),
        "generation_config.json": _listed(generation.get("eos_token_id")),
        "tokenizer_config.json": [
            tokens.get(name, name) for name in _names(tokenizer_config, "eos_token", "eot_token")
        ],
        "special_tokens_map.json": [
            tokens.get(name, name) for name in _names(special_map, "eos_token")
        ],
        "the chat template": _turn_ends(folder, tokenizer_config, tokens),
    }
    ids = {
        source: [value for value in values if _is_id(value, vocab_size)]
        for source, values in named.items()
    }
    _tell(folder, ids, has_odd=sum(map(len, named.values())) > sum(map(len, ids.values())))
    return frozenset().union(*ids.values())


def _tokens(folder: Path, tokenizer_config: Mapping[str, Any]) -> dict[str, Any]:
    """Ids by name. Where files differ, tokenizer.json is right: text is encoded by it."""
    tokenizer = read_json(folder / "tokenizer.json") or {}
    model = tokenizer.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    tokens: dict[str, Any] = read_json(folder / "added_tokens.json") or {}
    decoder = tokenizer_config.get("added_tokens_decoder")
    for number, token in decoder.items() if isinstance(decoder, dict) else ():
        if number.isdecimal() and isinstance(token, dict) and isinstance(token.get("content"), str):
            tokens[token["content"]] = int(number)
    if isinstance(vocabulary, dict):
        tokens |= vocabulary
    elif isinstance(vocabulary, list):  # a unigram model's: names and scores, by id
        tokens |= {entry[0]: at for at, entry in enumerate(vocabulary) if _is_entry(entry)}
    added = tokenizer.get("added_tokens")
    for token in added if isinstance(added, list) else ():
        if isinstance(token, dict) and isinstance(token.get("content"), str):
            tokens[token["content"]] = token.get("id", -1)
    return tokens


def _is_entry(entry: object) -> bool:
    return isinstance(entry, list) and bool(entry) and isinstance(entry[0], str)


def _names(config: Mapping[str, Any], *keys: str) -> list[str]:
    """Names of tokens under these keys: text, an object with ``content``, or lists of them."""
    names = []
    for key in keys:
        for value in _listed(config.get(key)):
            content = value.get("content") if isinstance(value, dict) else value
            if isinstance(content, str) and content:
                names.append(content)
    return names


def _turn_ends(
    folder: Path, tokenizer_config: Mapping[str, Any], tokens: Mapping[str, int]
) -> list[int]:
    """Ids of the tokens that end a turn in the chat template."""
    file = folder / "chat_template.jinja"
    try:
        template = file.read_text("utf-8")
    except (OSError, ValueError):
        template = json.dumps(tokenizer_config.get("chat_template"), ensure_ascii=False)
    return [
        tokens[name]
        for name in TURN_ENDS
        if name in tokens and name in template and NO_TURN_ENDS.get(name) not in tokens
    ]


def _listed(value: Any) -> list[Any]:
    """The values, of which 2.0 is 2."""
    if value is None:
        return []
    values = value if isinstance(value, list) else [value]
    return [int(one) if isinstance(one, float) and one.is_integer() else one for one in values]


def _is_id(value: object, vocab_size: int | None) -> bool:
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    return value >= 0 and (vocab_size is None or value < vocab_size)


def _tell(folder: Path, ids: Mapping[str, list[int]], *, has_odd: bool) -> None:
    """Log where files name different tokens, or what is none."""
    sets = {frozenset(of_file) for of_file in ids.values() if of_file}
    if not sets:
        log.warning(
            "no file names an end-of-sequence token: answers end at max_tokens or a stop string",
            extra={"model": folder.name},
        )
    if len(sets) < 2 and not has_odd:
        return
    said = "; ".join(
        f"{source}: {', '.join(map(str, dict.fromkeys(of_file)))}"
        for source, of_file in ids.items()
        if of_file
    )
    odd = " What else they name is no id of the vocabulary." if has_odd else ""
    log.warning(
        "end-of-sequence tokens differ between files; any of them ends an answer",
        extra={"model": folder.name, "reason": f"{said or 'none'}.{odd}"},
    )

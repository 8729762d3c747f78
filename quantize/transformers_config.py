"""A model's configuration as transformers has it, made from ours.

It is made of config.json as it was settled by the stored tensors (models/stored_config.py), and of
no other file: transformers itself would follow a ``configuration_files`` in it to another one. What
transformers refuses is said in words of ours, by the key and the value that it stumbled over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import CONFIG_MAPPING, PretrainedConfig
from transformers.activations import ACT2FN
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from models import rope
from models.errors import ModelRefusedError
from models.rules.numbers import shown

_WORDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "list": "a list",
    "dict": "a table",
    "NoneType": "null",
}
_ACTIVATIONS = ("hidden_act", "hidden_activation", "activation_function")
_PLAIN_ROPES = frozenset({"default", "mrope"})
_FIELD = re.compile(r"Field '(\w+)'")
_EXPECTED = re.compile(r"expected (\w+), got")
_MAX_REASON = 200


def read(folder: Path, config: Mapping[str, Any]) -> PretrainedConfig:
    """The configuration of a folder's model.

    Args:
        folder: for messages.
        config: config.json, settled.

    Raises:
        ModelRefusedError: transformers knows no such model, or refuses a value.
    """
    kind = config.get("model_type")
    if not isinstance(kind, str):
        raise _refusal(folder, "its config.json names no model_type")
    if is_foreign(config):
        raise _refusal(folder, f"transformers knows no model of the kind {shown(kind)}")
    if kind == "mistral" and "layer_types" in config:  # as transformers' AutoConfig takes it
        kind = "ministral"
    try:
        made: PretrainedConfig = CONFIG_MAPPING[kind].from_dict(_values(config, kind))
    except Exception as error:  # whatever an odd value makes it raise
        what = f"transformers cannot read its config.json ({kind}){_reason(error, config)}"
        raise _refusal(folder, what) from error
    for part in {id(part): part for part in (made, made.get_text_config())}.values():
        _take_what_serves(part)
        fault = _unknown_name(part)
        if fault is not None:
            raise _refusal(folder, fault)
    return made


def _values(config: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """A copy for transformers' class, with what means nothing left out."""
    copied = PretrainedConfig._decode_special_floats(dict(config))  # noqa: SLF001 - infinity
    values: dict[str, Any] = copied | {"model_type": kind}
    if "text_config" not in getattr(CONFIG_MAPPING[kind], "sub_configs", {}):
        values.pop("text_config", None)  # a text model's own keys stand at the top
    if values.get("num_key_value_heads", 0) is None:  # some families take no null, and mean this
        values["num_key_value_heads"] = values.get("num_attention_heads")
    return values


def is_foreign(config: Mapping[str, Any]) -> bool:
    """Whether config.json names a kind of model that transformers does not know."""
    kind = config.get("model_type")
    return isinstance(kind, str) and kind not in CONFIG_MAPPING


def _take_what_serves(part: PretrainedConfig) -> None:
    """Undo what a folder's makers set for their own programs: answers as tuples, padding."""
    part.return_dict = True
    part.output_attentions = part.output_hidden_states = False
    if vars(part).get("head_dim", 0) is None:  # as if not given: some families then reckon it
        del part.head_dim
    padding, size = getattr(part, "pad_token_id", None), getattr(part, "vocab_size", None)
    if type(padding) is int and type(size) is int and not -size <= padding < size:
        part.pad_token_id = None  # nothing is padded here, and torch refuses such a row


def _unknown_name(part: PretrainedConfig) -> str | None:
    """A name that transformers looks up in a table of its own, and does not find."""
    for key in _ACTIVATIONS:
        name = getattr(part, key, None)
        if isinstance(name, str) and name not in ACT2FN:
            return f"{key} is {shown(name)} in its config.json, which transformers does not know"
    parameters = getattr(part, "rope_parameters", None)
    for one in rope.parameters({"rope_parameters": parameters}):
        name = rope.kind(one)
        if name not in _PLAIN_ROPES and name not in ROPE_INIT_FUNCTIONS:
            return (
                f"rope_type is {shown(name)} in its config.json; transformers knows "
                f"{', '.join(sorted(ROPE_INIT_FUNCTIONS))}"
            )
    return None


def _reason(error: Exception, config: Mapping[str, Any]) -> str:
    """The key and the value that were refused; other errors are cited, unless they name paths."""
    text = (["", *str(error).splitlines()])[-1].strip()
    field = _FIELD.search(text)
    if field is None:
        text = re.sub(r"^\w+(Error|Exception): ", "", text)[:_MAX_REASON].rstrip(".")
        return "" if not text or "/" in text else f": {text}"
    key = field[1]
    nested = config.get("text_config")
    places = [config, nested] if isinstance(nested, Mapping) else [config]
    value = next((place[key] for place in places if key in place), None)
    wanted = dict.fromkeys(_WORDS[name] for name in _EXPECTED.findall(text) if name in _WORDS)
    expected = f", which is not {' or '.join(wanted)}" if wanted else ""
    return f": {key} is {shown(value)}{expected}"


def _refusal(folder: Path, what: str) -> ModelRefusedError:
    return ModelRefusedError(
        f"{folder.name}: {what}. Correct config.json, or fetch the model anew."
    )

"""``quantization_config`` in the words of compressed-tensors 0.17 (its `quantization/quant_args.py`
and `config/format.py` say what may stand in it), as vLLM 0.32 reads it.

Layers of several forms stand in groups. A reader looks for a layer's name among all groups' targets
before it looks for its class (vLLM's `compressed_tensors/utils.py`, ``find_matched_target``; of
layers that it joins, all must be named). So the first group has the class ``Linear``, and what is
otherwise is named.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from quantize.formats.forms import Form, Linear, Part

VERSION = "0.17.0"
"""The version of the format that is written."""
_NUMBER = re.compile(r"^(.*\.layers\.)(\d+)(\..*)$")
_EMBEDDING_CLASS = "VocabParallelEmbedding"
"""vLLM's, which has no name in some models (Llama's) when it is asked for its form."""


def document(
    *,
    layout: str,
    kind: str,
    form: Form,
    layers: Sequence[Linear],
    ignore: Sequence[str],
    has_activations: bool = False,
) -> dict[str, Any]:
    """The whole table.

    Args:
        layout: ``int-quantized``, ``pack-quantized`` or ``float-quantized``.
        kind: ``int`` or ``float``.
        form: of most layers.
        layers: all that are quantised.
        ignore: modules that are not.
        has_activations: quantise them too, with a scale for each token found as it comes.
    """
    activations = _numbers(Form(num_bits=form.num_bits), kind, "token", is_dynamic=True)
    groups = [
        {
            "targets": targets,
            "weights": _numbers(group_form, kind, "group" if group_form.group_size else "channel"),
            "input_activations": activations if has_activations else None,
            "output_activations": None,
            "format": layout,
        }
        for group_form, targets in _groups(form, layers)
    ]
    return {
        "quant_method": "compressed-tensors",
        "format": layout,
        "quantization_status": "compressed",
        "config_groups": {f"group_{number}": group for number, group in enumerate(groups)},
        "ignore": list(ignore),
        "kv_cache_scheme": None,
        "global_compression_ratio": None,
        "version": VERSION,
    }


def _groups(form: Form, layers: Sequence[Linear]) -> list[tuple[Form, list[str]]]:
    """Each form with its targets; an embedding's is a group of its own."""
    targets: dict[Form, list[str]] = {form: ["Linear"]}
    named = [linear for linear in layers if linear.part is Part.LAYERS and linear.form != form]
    for linear in named:
        targets.setdefault(linear.form, [])
    for other, words in targets.items():
        mine = [linear.name for linear in named if linear.form == other]
        words.extend(_patterns(mine, [linear.name for linear in layers]))
    for linear in layers:
        if linear.part is Part.HEAD:  # vLLM's is no "Linear"
            targets.setdefault(linear.form, []).append(linear.name)
    groups = list(targets.items())
    for linear in layers:
        if linear.part is Part.EMBEDDING:
            last = linear.name.rpartition(".")[2]
            groups.append((linear.form, [f"re:.*{last}$", _EMBEDDING_CLASS]))
    return groups


def _patterns(names: Sequence[str], among: Sequence[str]) -> list[str]:
    """Regular expressions that mean these names of ``among`` and no others."""
    numbers_of: dict[str, list[str]] = defaultdict(list)
    every: dict[str, list[str]] = defaultdict(list)
    for into, source in ((numbers_of, names), (every, among)):
        for name in source:
            match = _NUMBER.match(name)
            into[match[3] if match else name].append(match[2] if match else "")
    patterns = []
    for suffix, numbers in numbers_of.items():
        are_all = len(numbers) == len(every[suffix])
        layer = "" if are_all else rf"\.layers\.(?:{'|'.join(numbers)})"
        patterns.append(f"re:.*{layer}{re.escape(suffix)}$")
    return patterns


def _numbers(form: Form, kind: str, strategy: str, *, is_dynamic: bool = False) -> dict[str, Any]:
    return {
        "num_bits": form.num_bits,
        "type": kind,
        "symmetric": form.is_symmetric,
        "strategy": strategy,
        "group_size": form.group_size,
        "block_structure": None,
        "dynamic": is_dynamic,
        "actorder": None,
        "observer": None if is_dynamic else "minmax",
        "observer_kwargs": {},
    }

"""Stored tensors that have no place in the model that config.json describes.

transformers passes over them. Most are left-overs (a buffer of an older release, a layer for
training only) and are told; a bias or a weight of a layer that the model has is what it was trained
with, so without it another model would answer.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

from transformers import PreTrainedModel

from serve.engine.transformers.loader.stored_tensors import Tensors
from serve.errors import StartupError

log = logging.getLogger(__name__)

_PARTS = ("weight", "bias")


def without_known(model: PreTrainedModel, names: Iterable[str]) -> list[str]:
    """The names in order, less those that transformers knows to be left-overs for this model."""
    ignored = model._keys_to_ignore_on_load_unexpected or ()  # noqa: SLF001
    patterns = {*ignored, r"rotary_emb\.inv_freq"}
    known = re.compile("|".join(sorted(patterns)))
    return sorted(name for name in names if not known.search(name))


def check(model: PreTrainedModel, tensors: Tensors, names: Iterable[str]) -> None:
    """Tell of tensors without a place.

    Raises:
        StartupError: one of them belongs to a layer that the model has, and is not all zeros.
    """
    left = without_known(model, names)
    for name in left:
        if _belongs_to_a_layer(model, name) and bool(tensors.read(name).any()):
            raise StartupError(
                f"{tensors.folder.name}: {name} is stored, and config.json describes that layer "
                "without it, so another model than the trained one would answer. Correct "
                "config.json (attention_bias, mlp_bias and the like), or fetch the model anew."
            )
    if left:
        log.warning(
            "stored tensors have no place in the model that config.json describes",
            extra={"model": tensors.folder.name, "count": len(left), "first": left[0]},
        )


def _belongs_to_a_layer(model: PreTrainedModel, name: str) -> bool:
    owner, _, part = name.rpartition(".")
    if part not in _PARTS:
        return False
    try:
        module = model.get_submodule(owner)
    except AttributeError:
        return False
    return getattr(module, "weight", None) is not None

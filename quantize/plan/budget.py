"""The best way to store a model within so many bytes: from names and shapes alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from models.progress import size
from models.refs import QuantScheme
from quantize.errors import OptionError
from quantize.plan.choices import BY_QUALITY, Choice
from quantize.plan.scheme_plan import Wish, plan
from quantize.plan.sensitive import VARIANTS
from quantize.write.source import SourceTensor


def best(
    tensors: Sequence[SourceTensor],
    config: Mapping[str, Any],
    wish: Wish,
    num_bytes: int,
    among: Sequence[Choice] = BY_QUALITY,
) -> Choice:
    """The first of ``among`` whose weights are at most ``num_bytes`` on the disk.

    Args:
        wish: all but scheme, method and sensitive layers.
        among: the best first; it is the largest too.

    Raises:
        OptionError: none is so small. Names the smallest.
        UnsuitableModelError: the model cannot be quantised.
    """
    found: dict[Choice, int] = {}
    for choice in among:
        found[choice] = _bytes(tensors, config, wish_for(choice, wish))
        if found[choice] <= num_bytes:
            return choice
    smallest = min(found, key=lambda choice: found[choice])
    raise OptionError(
        f"no way to store this model fits into {size(num_bytes)}: the smallest is {smallest} with "
        f"{size(found[smallest])}. Allow that much, or take a smaller model."
    )


def wish_for(choice: Choice, wish: Wish) -> Wish:
    """The same wish in another way to store."""
    return replace(wish, scheme=choice.scheme, sensitive=VARIANTS[choice.variant])


def _bytes(tensors: Sequence[SourceTensor], config: Mapping[str, Any], wish: Wish) -> int:
    if wish.scheme is QuantScheme.NONE:
        return sum(tensor.num_bytes for tensor in tensors)
    return plan(tensors, config, wish)[0].output_bytes

"""What will be quantised and what not, and what comes out: from names and shapes alone.

What stays as it is (candidates.py, and what a scheme cannot take) is named in the configuration's
``ignore``. Engines join q/k/v and gate/up into one product, so those are treated alike: where one
cannot be quantised, its partners stay too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.refs import QuantScheme
from quantize import registry
from quantize.candidates import (
    COLUMN,
    EMBEDDINGS,
    FUSED,
    HEAD,
    ROW,
    candidates,
    embedding,
    is_tied,
)
from quantize.errors import UnsuitableModelError
from quantize.protocol import Linear, Method, Options, Output, Quantizer, QuantPlan, Skip
from quantize.source import SourceTensor

GROUPS = (128, 64, 32)
AUTO = "auto"

PROCESS_BYTES = 330_000_000
"""Of Python and torch, measured."""
PIECE_BYTES = 16 << 20
"""Of a matrix that a worker has at once, rounded to whole rows."""
_PER_WORKER = 3
"""A piece, what it becomes, and a block in float32 with its intermediate results: in pieces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the user asked for.

    Attributes:
        method: None takes ``default_method``.
        group_size: columns that share a scale; ``auto`` takes the largest of 128, 64 and 32 that
            divides every matrix, or else the one that divides most.
        tensor_parallel: devices that will share each matrix.
        ignore: a regular expression; modules in whose names it is found stay.
        has_head: quantise the output head too.
    """

    scheme: QuantScheme
    method: Method | None = None
    group_size: int | str = AUTO
    tensor_parallel: int = 1
    ignore: str | None = None
    has_head: bool = False


def plan(
    tensors: Sequence[SourceTensor], config: Mapping[str, Any], wish: Wish
) -> tuple[QuantPlan, Quantizer]:
    """The plan, and the quantizer that carries it out.

    Raises:
        UnsuitableModelError: nothing in the model can be quantised so.
        OptionError: a wish that does not exist, or does not go together.
    """
    check_suitable(config)
    linears, skipped = candidates(tensors, config, ignore=wish.ignore, has_head=wish.has_head)
    quantizer = registry.quantizer(
        wish.scheme,
        Options(
            method=wish.method or default_method(wish.scheme), group_size=_group_size(linears, wish)
        ),
    )
    faults = {
        linear.name: fault
        for linear in linears
        if (fault := quantizer.fault(linear, _num_in(linear, wish.tensor_parallel)))
    }
    faults |= _partners(linears, [*faults, *(skip.name for skip in skipped)])
    layers = tuple(linear for linear in linears if linear.name not in faults)
    skipped += [Skip(name=name, reason=reason) for name, reason in faults.items()]
    if not layers:
        reasons = "; ".join(sorted({skip.reason for skip in skipped})) or "it has no linear layers"
        raise UnsuitableModelError(f"nothing can be quantised to {wish.scheme}: {reasons}.")
    outputs = _outputs(tensors, layers, quantizer, is_tied=is_tied(tensors))
    # The embedding is no linear layer, so nobody looks for it among those.
    ignore = [skip.name for skip in skipped if skip.name.rpartition(".")[2] not in EMBEDDINGS]
    made = QuantPlan(
        scheme=wish.scheme,
        method=quantizer.method,
        group_size=quantizer.group_size,
        layers=layers,
        skipped=tuple(skipped),
        outputs=outputs,
        source_bytes=sum(tensor.num_bytes for tensor in tensors),
        output_bytes=sum(output.num_bytes for output in outputs),
        peak_memory_bytes=_peak(tensors),
        config=_config(config, quantizer.config(ignore), has_own_head=_has_head(layers)),
        tensor_parallel=wish.tensor_parallel,
        tensor_parallel_faults=tuple(_tensor_parallel_faults(layers, wish.tensor_parallel)),
    )
    return made, quantizer


def default_method(scheme: QuantScheme) -> Method:
    """Searched scales where they were measured to be better: docs/lab-notes.md has the figures."""
    return Method.SEARCH if scheme is QuantScheme.INT4 else Method.RTN


def check_suitable(config: Mapping[str, Any]) -> None:
    """Raises UnsuitableModelError: the model is quantised already, or of experts."""
    if config.get("quantization_config") is not None:
        raise UnsuitableModelError(
            "the model is quantised already. Name the full one: quantising twice adds both errors."
        )
    text = config.get("text_config") or config
    for key in ("num_experts", "num_local_experts", "n_routed_experts"):
        if isinstance(text.get(key), int) and text[key] > 1:
            raise UnsuitableModelError(
                f"the model has {text[key]} experts ({key}); mixtures of experts are not "
                "quantised here yet. Take a checkpoint that its maker quantised."
            )


def _group_size(linears: Sequence[Linear], wish: Wish) -> int | None:
    if wish.group_size != AUTO:
        return int(wish.group_size) or None
    if not linears:
        return GROUPS[0]
    columns = [(_num_in(linear, wish.tensor_parallel), linear.num_weights) for linear in linears]
    # Most weights first; of equals the largest group.
    best = max(GROUPS, key=lambda group: (_covered(columns, group), group))
    return best if _covered(columns, best) else None


def _covered(columns: Sequence[tuple[int, int]], group: int) -> int:
    return sum(weights for num_in, weights in columns if num_in % group == 0)


def _num_in(linear: Linear, tensor_parallel: int) -> int:
    """Columns on one device."""
    shared = linear.name.rpartition(".")[2] in ROW
    is_even = linear.num_in % tensor_parallel == 0
    return linear.num_in // tensor_parallel if shared and is_even else linear.num_in


def _partners(linears: Sequence[Linear], faults: Sequence[str]) -> dict[str, str]:
    """Layers that stay because one that is joined with them does."""
    found = {}
    names = {linear.name for linear in linears}
    for name in faults:
        prefix, _, last = name.rpartition(".")
        for group in FUSED:
            for other in group if last in group else ():
                partner = f"{prefix}.{other}"
                if partner in names and partner not in faults:
                    found[partner] = f"joined with {last}, which stays"
    return found


def _outputs(
    tensors: Sequence[SourceTensor],
    layers: Sequence[Linear],
    quantizer: Quantizer,
    *,
    is_tied: bool,
) -> tuple[Output, ...]:
    by_name = {linear.name: linear for linear in layers}
    table = embedding(tensors)
    outputs: list[Output] = []
    for tensor in tensors:
        linear = by_name.get(tensor.name.removesuffix(".weight"))
        if linear is None:
            outputs.append(
                Output(
                    name=tensor.name,
                    dtype=tensor.dtype,
                    shape=tensor.shape,
                    num_bytes=tensor.num_bytes,
                    source=tensor.name,
                )
            )
        else:
            outputs += _parts(linear, tensor.name, quantizer)
        if tensor is table and is_tied and HEAD in by_name:
            outputs += _parts(by_name[HEAD], tensor.name, quantizer)
    return tuple(outputs)


def _parts(linear: Linear, source: str, quantizer: Quantizer) -> list[Output]:
    return [
        Output(
            name=f"{linear.name}.{part.suffix}",
            dtype=part.dtype,
            shape=part.shape,
            num_bytes=part.num_bytes,
            source=source,
            linear=linear,
            suffix=part.suffix,
            is_by_row=part.is_by_row,
        )
        for part in quantizer.stored(linear)
    ]


def _has_head(layers: Sequence[Linear]) -> bool:
    return any(linear.name == HEAD for linear in layers)


def _config(
    config: Mapping[str, Any], quantization: Mapping[str, Any], *, has_own_head: bool
) -> dict[str, Any]:
    made = dict(config) | {"quantization_config": dict(quantization)}
    if not has_own_head:
        return made
    # vLLM's head is of a class of its own, which "Linear" does not mean; its name does.
    for group in quantization.get("config_groups", {}).values():
        group["targets"].append(HEAD)
    return made | {"tie_word_embeddings": False}


def _tensor_parallel_faults(layers: Sequence[Linear], devices: int) -> list[str]:
    found = []
    for linear in layers:
        last = linear.name.rpartition(".")[2]
        size, what = (linear.num_out, "rows") if last in COLUMN else (linear.num_in, "columns")
        if last in COLUMN | ROW and size % devices:
            found.append(f"{linear.name}: {size} {what} are not divisible by {devices}")
    return found


def num_workers() -> int:
    """One more than there are cores, so that one may wait for the disk; memory bounds them."""
    return min(8, len(os.sched_getaffinity(0)) + 1)


def _peak(tensors: Sequence[SourceTensor]) -> int:
    largest = max((tensor.num_bytes for tensor in tensors), default=0)
    return PROCESS_BYTES + num_workers() * _PER_WORKER * min(largest, PIECE_BYTES)

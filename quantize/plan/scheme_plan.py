"""What will be quantised and what not, and what comes out: from names and shapes alone.

What stays as it is (candidates.py, and what a scheme cannot take) is named in the configuration's
``ignore``. Engines join q/k/v and gate/up into one product, so those are treated alike: where one
cannot be quantised, its partners stay too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from models.refs import QuantScheme
from quantize import registry
from quantize.errors import UnsuitableModelError
from quantize.plan.candidates import COLUMN, ROW, candidates, partners
from quantize.plan.sensitive import SENSITIVE
from quantize.plan.tables import EMBEDDINGS, HEAD, Width, is_tied, stays, table_of
from quantize.protocol import Linear, Method, Options, Output, Part, Quantizer, QuantPlan, Skip
from quantize.write.source import SourceTensor

GROUPS = (128, 64, 32)

PROCESS_BYTES = 360_000_000
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
        group_size: columns that share a scale, of a scheme that has groups.
        tensor_parallel: devices that will share each matrix.
        ignore: a regular expression; modules in whose names it is found stay.
        head: what becomes of the output head; None does what is the scheme's default.
        embeddings: the same of the embedding.
        sensitive: of int4: a regular expression; layers in whose names it is found get 8 bits.
        is_symmetric: of int4: no zero points.
    """

    scheme: QuantScheme
    method: Method | None = None
    group_size: int = GROUPS[-1]
    tensor_parallel: int = 1
    ignore: str | None = None
    head: Width | None = None
    embeddings: Width | None = None
    sensitive: str | None = SENSITIVE
    is_symmetric: bool = False

    def options(self, *, is_tied: bool) -> Options:
        """What of it the scheme is told.

        An embedding of its own is looked up a row at a time and costs little in 4 bits. One that is
        the head too has the head's 8, so that an engine may hold both once.
        """
        width = self.embeddings or (Width.EIGHT if is_tied else Width.FOUR)
        is_narrow = width is Width.FOUR and self.scheme is QuantScheme.INT4
        return Options(
            method=self.method or default_method(self.scheme),
            group_size=self.group_size,
            is_symmetric=self.is_symmetric,
            sensitive=self.sensitive,
            embedding_bits=4 if is_narrow else 8,
        )


def plan(
    tensors: Sequence[SourceTensor], config: Mapping[str, Any], wish: Wish
) -> tuple[QuantPlan, Quantizer]:
    """The plan, and the quantizer that carries it out.

    Raises:
        UnsuitableModelError: nothing in the model can be quantised so.
        OptionError: a wish that does not exist, or does not go together.
    """
    check_suitable(config)
    quantizer = registry.quantizer(wish.scheme, wish.options(is_tied=is_tied(tensors)))
    decided = stays(tensors, config, wish.scheme, head=wish.head, embeddings=wish.embeddings)
    linears, skipped = candidates(tensors, ignore=wish.ignore, stays=decided)
    linears = [replace(linear, form=quantizer.form_of(linear)) for linear in linears]
    faults = {
        linear.name: fault
        for linear in linears
        if (fault := quantizer.fault(_share(linear, wish.tensor_parallel)))
    }
    faults |= _partners(linears, [*faults, *(skip.name for skip in skipped)])
    layers = tuple(linear for linear in linears if linear.name not in faults)
    skipped += [Skip(name=name, reason=reason) for name, reason in faults.items()]
    if not any(linear.part is Part.LAYERS for linear in layers):
        reasons = "; ".join(sorted({skip.reason for skip in skipped})) or "it has no linear layers"
        raise UnsuitableModelError(f"nothing can be quantised to {wish.scheme}: {reasons}.")
    outputs = _outputs(tensors, layers, quantizer, is_tied=is_tied(tensors))
    # A full embedding is no linear layer, so nobody looks for it among those.
    ignore = [skip.name for skip in skipped if skip.name.rpartition(".")[2] not in EMBEDDINGS]
    made = QuantPlan(
        scheme=wish.scheme,
        method=quantizer.method,
        form=quantizer.form,
        layers=layers,
        skipped=tuple(skipped),
        outputs=outputs,
        source_bytes=sum(tensor.num_bytes for tensor in tensors),
        output_bytes=sum(output.num_bytes for output in outputs),
        peak_memory_bytes=_peak(tensors),
        config=_config(config, quantizer.config(layers, ignore), layers),
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


def _share(linear: Linear, devices: int) -> Linear:
    """What of a matrix one device has."""
    last = linear.name.rpartition(".")[2]
    if last in ROW and linear.num_in % devices == 0:
        return replace(linear, num_in=linear.num_in // devices)
    if last in COLUMN and linear.num_out % devices == 0:
        return replace(linear, num_out=linear.num_out // devices)
    return linear


def _partners(linears: Sequence[Linear], faults: Sequence[str]) -> dict[str, str]:
    """Layers that stay because one that is joined with them does."""
    names = {linear.name for linear in linears}
    return {
        partner: f"joined with {name.rpartition('.')[2]}, which stays"
        for name in faults
        for partner in partners(name)
        if partner in names and partner not in faults
    }


def _outputs(
    tensors: Sequence[SourceTensor],
    layers: Sequence[Linear],
    quantizer: Quantizer,
    *,
    is_tied: bool,
) -> tuple[Output, ...]:
    by_name = {linear.name: linear for linear in layers}
    table = table_of(tensors)
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


def _config(
    config: Mapping[str, Any], quantization: Mapping[str, Any], layers: Sequence[Linear]
) -> dict[str, Any]:
    made = dict(config) | {"quantization_config": dict(quantization)}
    has_own_head = any(linear.part is Part.HEAD for linear in layers)
    return made | {"tie_word_embeddings": False} if has_own_head else made


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

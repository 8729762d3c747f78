"""The plan: what will be quantised and what not, and what comes out, from names and shapes alone.

What stays as it is (candidates.py, and what a scheme cannot take) is named in the configuration's
``ignore``. Engines join q/k/v and gate/up into one product, so those are treated alike: where one
cannot be quantised, its partners stay too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from models.memory import host_cpus
from models.progress import size
from models.refs import QuantScheme
from models.tensor_names import EMBEDDINGS
from quantize import registry
from quantize.errors import OptionError, UnsuitableModelError
from quantize.formats.forms import Linear, Part
from quantize.plan.candidates import COLUMN, ROW, candidates, partners
from quantize.plan.choices import BY_QUALITY, Choice
from quantize.plan.scheme_plan import Output, QuantOptions, SchemePlan, Skip
from quantize.plan.tables import HEAD, is_tied, stays, table_of
from quantize.protocol import Quantizer
from quantize.write.source import SourceTensor

PROCESS_BYTES = 360_000_000
"""The memory of Python and torch, measured; transformers takes 100 MB more where it is asked."""
CHUNK_BYTES = 16 << 20
"""The bytes of a matrix that a worker has at once, rounded to whole rows."""
_CHUNKS_PER_WORKER = 3
"""A chunk, what it becomes, and a block in float32 with its intermediate results."""


def plan(
    tensors: Sequence[SourceTensor], config: Mapping[str, Any], options: QuantOptions
) -> tuple[SchemePlan, Quantizer]:
    """The plan, and the quantizer that carries it out.

    Raises:
        UnsuitableModelError: nothing in the model can be quantised so.
        OptionError: an option that does not exist, or options that do not go together.
    """
    check_suitable(config)
    quantizer = registry.quantizer(options.scheme, options.scheme_options(is_tied=is_tied(tensors)))
    layers, skipped = _layers(tensors, config, options, quantizer)
    if not any(linear.part is Part.LAYERS for linear in layers):
        reasons = "; ".join(sorted({skip.reason for skip in skipped})) or "it has no linear layers"
        raise UnsuitableModelError(f"nothing can be quantised to {options.scheme}: {reasons}.")
    outputs = _outputs(tensors, layers, quantizer, is_tied=is_tied(tensors))
    # A full embedding is no linear layer, so nobody looks for it among those.
    ignore = [skip.name for skip in skipped if skip.name.rpartition(".")[2] not in EMBEDDINGS]
    scheme_plan = SchemePlan(
        scheme=options.scheme,
        method=quantizer.method,
        form=quantizer.form,
        layers=layers,
        skipped=skipped,
        outputs=outputs,
        source_bytes=sum(tensor.num_bytes for tensor in tensors),
        output_bytes=sum(output.num_bytes for output in outputs),
        peak_memory_bytes=_peak(tensors),
        config=_config(config, quantizer.config(layers, ignore), layers),
        tensor_parallel=options.tensor_parallel,
        tensor_parallel_faults=tuple(_tensor_parallel_faults(layers, options.tensor_parallel)),
    )
    return scheme_plan, quantizer


def _layers(
    tensors: Sequence[SourceTensor],
    config: Mapping[str, Any],
    options: QuantOptions,
    quantizer: Quantizer,
) -> tuple[tuple[Linear, ...], tuple[Skip, ...]]:
    """The matrices that are quantised, each with its form, and those that stay."""
    unquantised = stays(
        tensors, config, options.scheme, head=options.head, embeddings=options.embeddings
    )
    linears, skipped = candidates(tensors, ignore=options.ignore, stays=unquantised)
    linears = [replace(linear, form=quantizer.form_of(linear)) for linear in linears]
    faults = {
        linear.name: fault
        for linear in linears
        if (fault := quantizer.fault(_share(linear, options.tensor_parallel)))
    }
    faults |= _partners(linears, [*faults, *(skip.name for skip in skipped)])
    layers = tuple(linear for linear in linears if linear.name not in faults)
    skips = (Skip(name=name, reason=reason) for name, reason in faults.items())
    return layers, (*skipped, *skips)


def best(
    tensors: Sequence[SourceTensor],
    config: Mapping[str, Any],
    options: QuantOptions,
    max_bytes: int,
    among: Sequence[Choice] = BY_QUALITY,
) -> Choice:
    """The first of ``among`` whose weights are at most ``max_bytes`` on the disk.

    Args:
        options: all but scheme, method and sensitive layers.
        max_bytes: the budget.
        among: the best first; it is the largest too.

    Raises:
        OptionError: none is so small. Names the smallest.
        UnsuitableModelError: the model cannot be quantised.
    """
    sizes: dict[Choice, int] = {}
    for choice in among:
        sizes[choice] = _bytes(tensors, config, options.with_choice(choice))
        if sizes[choice] <= max_bytes:
            return choice
    smallest = min(sizes, key=lambda choice: sizes[choice])
    raise OptionError(
        f"no way to store this model fits into {size(max_bytes)}: the smallest is {smallest} with "
        f"{size(sizes[smallest])}. Allow that much, or take a smaller model."
    )


def _bytes(
    tensors: Sequence[SourceTensor], config: Mapping[str, Any], options: QuantOptions
) -> int:
    if options.scheme is QuantScheme.NONE:
        return sum(tensor.num_bytes for tensor in tensors)
    return plan(tensors, config, options)[0].output_bytes


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
    """The part of a matrix that one device has."""
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
    document = dict(config) | {"quantization_config": dict(quantization)}
    has_own_head = any(linear.part is Part.HEAD for linear in layers)
    return document | {"tie_word_embeddings": False} if has_own_head else document


def _tensor_parallel_faults(layers: Sequence[Linear], devices: int) -> list[str]:
    faults = []
    for linear in layers:
        last = linear.name.rpartition(".")[2]
        number, side = (linear.num_out, "rows") if last in COLUMN else (linear.num_in, "columns")
        if last in COLUMN | ROW and number % devices:
            faults.append(f"{linear.name}: {number} {side} are not divisible by {devices}")
    return faults


def num_workers() -> int:
    """One more than there are cores, so that one may wait for the disk; memory bounds them."""
    return min(8, host_cpus.num_threads() + 1)


def _peak(tensors: Sequence[SourceTensor]) -> int:
    largest = max((tensor.num_bytes for tensor in tensors), default=0)
    return PROCESS_BYTES + num_workers() * _CHUNKS_PER_WORKER * min(largest, CHUNK_BYTES)

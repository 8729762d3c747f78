"""`fit`: what a model costs in memory, and what fits into yours. Nothing is loaded."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models import folder, policy, stored_config
from models.cli.fit_report import Report
from models.cli.options import Commands, command, size_in_bytes, whole_number
from models.errors import FitError, ModelNotFoundError, UnknownShapeError
from models.memory import fit, host_memory, shapes, stored_weights
from models.memory.fit import Place, Request
from models.other_formats import require_readable
from models.refs import QuantScheme, Scheme
from models.rules import strict_json
from models.rules.content import MAX_CONFIG_BYTES
from models.rules.strict_json import JsonFault
from models.store import places, resolve
from models.target import ModelTarget
from models.weight_headers import Tensors

_KV_TYPES = {"auto": None, "bfloat16": 2, "fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1}
_FREE = "free"

EPILOG = """\
what is printed:
  weights         on one device, with the scheme's scales; embedding, output head and norms keep
                  their type
  longest         tokens of each of --concurrency sequences that run at once
  at full length  sequences that fit at the model's own context, or at --context
A GPU is reckoned as vLLM uses it, --memory as our own engine uses a CPU. What is assumed beside
weights and KV cache is printed below the table. Sizes are in GB (10^9); 24GiB is 2^30 based.

examples:
  python -m models fit qwen2.5-7b                                what it costs, in every scheme
  python -m models fit qwen2.5-7b --gpu 24GB 80GB                on two kinds of GPU
  python -m models fit qwen2.5-32b --quant int4 --gpu 24GB --concurrency 8
  python -m models fit llama3.1-8b --gpu 24GB --tp 2 --kv-cache-dtype fp8
  python -m models fit ./my-model --memory                       on this machine's free memory
  python -m models fit qwen3-8b --memory 64GB --json

exit codes: 0 done; 2 there is no such model, or its config.json does not say enough
"""


def add_commands(commands: Commands) -> None:
    """Add `fit`."""
    text = "what a model costs in memory, and what fits, from its config.json alone"
    parser = command(commands, "fit", text=text, run=_fit, epilog=EPILOG)
    parser.add_argument("name", metavar="NAME", help="alias, repository or folder")
    parser.add_argument(
        "--quant",
        choices=[str(scheme) for scheme in QuantScheme],
        help="one scheme (default: the stored one, or all)",
    )
    parser.add_argument(
        "--gpu",
        type=size_in_bytes,
        nargs="+",
        default=[],
        metavar="SIZE",
        help="memory of one GPU: 24GB",
    )
    parser.add_argument(
        "--memory",
        type=_memory,
        nargs="?",
        const=_FREE,
        metavar="SIZE",
        help="memory for a CPU (without SIZE: what is free here)",
    )
    parser.add_argument(
        "--context", type=whole_number, metavar="TOKENS", help="length (default: the model's own)"
    )
    parser.add_argument(
        "--concurrency",
        type=whole_number,
        default=1,
        metavar="N",
        help="sequences at once (default: %(default)s)",
    )
    parser.add_argument(
        "--tp",
        type=whole_number,
        default=1,
        metavar="N",
        help="GPUs that share each layer; sizes are then those of one (default: %(default)s)",
    )
    parser.add_argument(
        "--kv-cache-dtype",
        choices=list(_KV_TYPES),
        default="auto",
        help="of the KV cache on a GPU; auto is the model's (default: %(default)s)",
    )


def _fit(options: argparse.Namespace) -> int:
    request, stored = _request(options)
    schemes = _schemes(options.quant, stored)
    places = [(Place.GPU, size) for size in options.gpu]
    if options.memory is not None:
        if options.tp > 1 or request.kv_item_bytes:
            raise FitError("--tp and --kv-cache-dtype are for GPUs: leave them out with --memory.")
        places.append((Place.CPU, _free() if options.memory == _FREE else options.memory))
    place = Place.CPU if places and not options.gpu else Place.GPU
    report = Report(
        name=options.name,
        request=request,
        costs=[fit.weights(request, scheme, place) for scheme in schemes],
        fits=[[fit.fit(request, scheme, *where) for where in places] for scheme in schemes],
    )
    if options.json:
        print(json.dumps(report.as_json(), indent=2))
    else:
        report.print()
    return 0


def _request(options: argparse.Namespace) -> tuple[Request, Scheme | None]:
    """The request, and the scheme of the folder that is here; None where none is."""
    target = ModelTarget.parse(options.name)
    path = _folder(target, options.data_dir)
    stored, size, own = None, None, None
    if path is None:
        config = _published(target, options.data_dir)
    else:
        settled = stored_config.settle(path, _config(path))
        config = settled.config
        stored = folder.scheme_of(path)
        if stored is not QuantScheme.NONE:
            size = stored_weights.total_bytes(settled.tensors) or None
            own = _own_bytes(path, settled.tensors) or None
    request = Request(
        config=config,
        weights_bytes=size,
        own_weights_bytes=own,
        kv_item_bytes=_KV_TYPES[options.kv_cache_dtype],
        context=options.context,
        concurrency=options.concurrency,
        num_gpus=options.tp,
    )
    return request, stored


def _own_bytes(path: Path, tensors: Tensors) -> int:
    try:
        return stored_weights.own_bytes(tensors)
    except OSError as error:
        raise ModelNotFoundError(
            f"{path.name}: the weights cannot be read: {error.strerror or error}"
        ) from None


def _folder(target: ModelTarget, data_dir: Path) -> Path | None:
    """The folder of this model, once it is allowed; None where there is no config.json."""
    for _, path in places(target, data_dir):
        require_readable(path)
        if (path / folder.CONFIG).is_file():
            policy.check(path.resolve())
            return path.resolve()
    return None


def _published(target: ModelTarget, data_dir: Path) -> Mapping[str, Any]:
    """The sizes of a catalogue's model that is not here."""
    entry = target.entry if target.revision is None else None
    if entry is None:
        resolve(target, data_dir)  # says what is known of such a name
    config = shapes.published().get(entry.alias) if entry else None
    if config is None:
        raise UnknownShapeError(
            f"the sizes of {target.text!r} are not known until it is pulled: `python -m models "
            f"pull {target.text}`."
        )
    return config


def _config(path: Path) -> Mapping[str, Any]:
    try:
        config = strict_json.read(path / folder.CONFIG, max_bytes=MAX_CONFIG_BYTES)
    except (JsonFault, OSError) as error:
        raise ModelNotFoundError(f"{path / folder.CONFIG} cannot be read: {error}") from None
    read: Mapping[str, Any] = config
    return read


def _schemes(scheme: str | None, stored: Scheme | None) -> Sequence[Scheme]:
    if stored is not None and stored is not QuantScheme.NONE:
        if scheme not in (None, str(stored)):
            raise FitError(
                f"this folder's weights are stored as {stored}; --quant {scheme} needs the full "
                "ones. Leave --quant out, or name the folder of the full model."
            )
        return [stored]
    return [QuantScheme(scheme)] if scheme else list(QuantScheme)


def _free() -> int:
    free = host_memory.available_bytes()
    if free is None:
        raise FitError("how much memory is free is not known here. Give it: --memory 32GB.")
    return free


def _memory(text: str) -> int | str:
    return text if text == _FREE else size_in_bytes(text)

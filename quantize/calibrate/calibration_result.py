"""The result of a calibrating tool, into the store: held to the plan, tensor by tensor.

The tool's weights are taken, and nothing else of it: texts are the source's, and config.json is the
source's with the table that the plan has. So a result is accepted only where the plan's words are
true of it, and its folder is like that of any other scheme.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models import folder as model_folder
from models import store
from models.staging import Staging
from models.trust.manifest import Manifest
from quantize.errors import QuantizeError
from quantize.plan.scheme_plan import SchemePlan
from quantize.write import result, source


def take(
    written: Path,
    staging: Staging,
    *,
    plan: SchemePlan,
    full: Path,
    manifest: Manifest,
    tools: Mapping[str, str],
) -> Manifest:
    """Fill ``staging.tree`` with the model; the caller commits it.

    Args:
        written: the tool's folder, on the same disk; its weights are moved.
        staging: of the model.
        plan: of what should have been written.
        full: the folder of the full weights.
        manifest: theirs.
        tools: for the manifest of the result.

    Raises:
        QuantizeError: what was written is not what was planned.
        ModelError: the result is not whole.
    """
    fault = fault_of(written, plan)
    if fault is not None:
        raise QuantizeError(f"what was written is not what was planned: {fault}.")
    names = model_folder.weight_files(written)
    for name in names:
        (written / name).rename(staging.tree / name)
    if (written / model_folder.INDEX).is_file():
        (written / model_folder.INDEX).rename(staging.tree / model_folder.INDEX)
    result.put_texts(full, staging.tree, plan.config)
    store.load_folder(staging.tree, name=staging.target.name)
    built = Manifest.build(
        staging.tree, source=manifest.source, licence=manifest.licence, tools=tools
    )
    built.write(staging.tree)
    return built


def fault_of(written: Path, plan: SchemePlan) -> str | None:
    """The first fault of a folder against the plan; None where there is none."""
    expected = {output.name: (output.dtype, output.shape) for output in plan.outputs}
    actual = {tensor.name: (tensor.dtype, tensor.shape) for tensor in source.tensors_of(written)}
    for name in sorted(expected.keys() | actual.keys()):
        if expected.get(name) != actual.get(name):
            return f"{name} is {_shown(actual.get(name))}, not {_shown(expected.get(name))}"
    return _table_fault(written, plan)


def _table_fault(written: Path, plan: SchemePlan) -> str | None:
    """A fault in what the numbers mean: bits, groups, signs and the order of columns."""
    document = json.loads((written / model_folder.CONFIG).read_bytes())
    table = document.get("quantization_config") or {}
    groups = list((table.get("config_groups") or {}).values())
    ours = plan.config["quantization_config"]
    if len(groups) != 1 or table.get("format") != ours["format"]:
        return f"it has {len(groups)} kinds of layers in the form {table.get('format')}"
    (planned,) = ours["config_groups"].values()
    for part in ("weights", "input_activations"):
        expected, actual = _meaning(planned[part]), _meaning(groups[0].get(part))
        if expected != actual:
            return f"its {part} are {actual}, not {expected}"
    return None


def _meaning(numbers: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The part of compressed-tensors' table that arithmetic depends on, and not how it was made."""
    if numbers is None:
        return None
    keys = ("num_bits", "type", "symmetric", "strategy", "group_size", "dynamic")
    # Columns gone through in the order of their weight lie where they were; in groups of it, not.
    moved = numbers.get("actorder") not in (None, False, "static", "weight")
    return {key: numbers.get(key) for key in keys} | {"columns moved": moved}


def _shown(tensor: tuple[str, tuple[int, ...]] | None) -> str:
    return "absent" if tensor is None else f"{tensor[0]} of {list(tensor[1])}"

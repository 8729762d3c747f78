"""Engine names and how each is built. Imports an engine only when it is asked for."""

from __future__ import annotations

from pathlib import Path

from serve.engine.protocol import Engine, Progress
from serve.engine.settings import EngineSettings
from serve.errors import StartupError

ENGINES = ("transformers", "fake")


def choose(name: str) -> tuple[str, str]:
    """The engine to use for a value of ``--engine``, and the reason, for the log.

    Raises:
        StartupError: there is no such engine.
    """
    if name == "auto":
        return "transformers", "the only engine for real models in this build"
    if name not in ENGINES:
        raise StartupError(f"--engine {name}: unknown; there are auto, {', '.join(ENGINES)}.")
    return name, "asked for"


def build(name: str, path: Path | None, settings: EngineSettings, progress: Progress) -> Engine:
    """The engine, ready to serve. Blocks while it loads: call it in a thread.

    Args:
        name: one of ``ENGINES``.
        path: the model's folder; the fake engine needs none.
        settings: for the engine.
        progress: told of the phases ``import``, ``load_weights``, ``allocate_kv``, ``warm_up``.

    Raises:
        StartupError: unknown name, or the engine cannot run this model.
    """
    name, _ = choose(name)
    if name == "fake":
        from serve.engine.fake import FakeEngine  # noqa: PLC0415 - see the module's docstring

        return FakeEngine(settings)
    if path is None:
        raise StartupError(f"--engine {name} needs a model folder.")
    progress("import", 0, 1)
    from serve.engine.transformers_engine import TransformersEngine  # noqa: PLC0415 - as above

    progress("import", 1, 1)
    return TransformersEngine.from_folder(path, settings, progress)

"""The models that are measured: found, made at random, and quantised, in a cache of their own.

What is made for measuring alone does not belong into the store that people serve from.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks import random_model
from models import store
from models.progress import Progress, Silent
from models.refs import Artifact, QuantScheme
from quantize import ensure
from quantize.plan.choices import Choice
from quantize.plan.scheme_plan import QuantOptions
from quantize.write.run import Quantisation
from serve.environment import xdg


def cache() -> Path:
    """The folder where they are kept; may be removed at any time."""
    return xdg("XDG_CACHE_HOME", ".cache") / "benchmarks"


def find(name: str, data_dir: Path, cache_dir: Path) -> Artifact:
    """The model of this name.

    Args:
        name: as `--model` of the server takes it, or ``random:SHAPE``.
        data_dir: of the store that people serve from.
        cache_dir: for what has to be made.

    Raises:
        ModelError: there is none.
        OSError: it cannot be written.
    """
    if name.startswith(random_model.PREFIX):
        return random_model.make(name.removeprefix(random_model.PREFIX), cache_dir)
    return store.resolve(name, data_dir)


def quantised(full: Artifact, scheme: QuantScheme, cache_dir: Path) -> Artifact:
    """The model with its weights in this scheme; made where the cache has none of these weights.

    Raises:
        ModelError, QuantizeError: it cannot be made.
    """
    if full.scheme is scheme:
        return full
    found = ensure.find(full.name, Choice(scheme=scheme), cache_dir, full=full.path)
    if found.artifact is not None:
        return found.artifact
    target = store.DirectoryStore(cache_dir).path_of(ensure.artifact_name(full.name, scheme))
    target.parent.mkdir(parents=True, exist_ok=True)
    Quantisation(
        source=full,
        options=QuantOptions(scheme=scheme),
        target=target,
        data_dir=cache_dir,
        progress=Progress(Silent()),
        is_replacing=found.is_stale,
    ).run()
    return store.DirectoryStore(cache_dir).find(target.name)

"""The places of weights on this machine: the built-in model, the store, or any folder.

The store is a directory, ``<data_dir>/models/<name>``, filled by `python -m models pull` or by
hand. ``resolve`` is the one way from a model's name (models/target.py) to a folder to load.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import models
from models import catalog, folder, home, hub_cache, other_formats, plain_file, policy
from models.catalog import CatalogEntry
from models.errors import ModelError, ModelNotFoundError
from models.refs import Artifact
from models.staging import Staging, staged, sync_parent
from models.target import Kind, ModelTarget, is_plain_name
from models.trust import unchanged

DEMO = "demo"
DEMO_WEIGHTS = Path(models.__path__[0]) / "demo" / "weights"


class DirectoryStore:
    """Model folders under ``<data_dir>/models``, by name."""

    def __init__(self, data_dir: Path) -> None:
        self.root = home.expanded(data_dir) / "models"

    def is_there(self) -> bool:
        """Whether there is a folder of models. Before the first model there is none.

        Raises:
            ModelNotFoundError: something else is in its place, or it cannot be looked at.
        """
        for path in (self.root.parent, self.root):
            if _is_dir(path):
                continue
            if os.path.lexists(path):
                what = plain_file.kind_of(path) or (
                    "a file" if path.is_file() else "a link that leads nowhere"
                )
                raise ModelNotFoundError(
                    f"{path} is {what}, and models lie in a folder. Name another with --data-dir, "
                    "or move it away."
                )
            return False
        return True

    def path_of(self, name: str) -> Path:
        """The path of the folder of this name, whether or not it is there.

        Raises:
            ModelNotFoundError: the name is no plain name, and could lead out of the store.
        """
        if not is_plain_name(name):
            raise ModelNotFoundError(
                f"{name!r} is not a name in the store: letters, digits, '.', '_' and '-' only."
            )
        return self.root / name

    def names(self) -> list[str]:
        """Names of the folders that are there, whole or not.

        Raises:
            ModelNotFoundError: something else is where the folder of models should be.
        """
        if not self.is_there():
            return []
        return sorted(
            path.name for path in self.root.iterdir() if path.is_dir() and is_plain_name(path.name)
        )

    def find(self, name: str) -> Artifact:
        """The model of this name.

        Raises:
            ModelNotFoundError: it is not there, or not whole.
            ModelRefusedError: it is there and not allowed.
            UnknownSchemeError: it is quantised in a way that we do not know.
        """
        path = self.path_of(name)
        if not _is_dir(path):
            raise ModelNotFoundError(f"there is no model {name!r} in {self.root}.")
        return load_folder(path, name=name)

    def stage(self, name: str) -> AbstractContextManager[Staging]:
        """A staging folder for a model of this name; see models/staging.py.

        Raises:
            ModelNotFoundError: the name is no plain name.
            StoreBusyError, OSError: on entering, as ``staged`` says.
        """
        return staged(self.root, self.path_of(name).name)

    def remove(self, name: str) -> None:
        """Remove a model, in one step for whoever looks: it is never there by half.

        Raises:
            ModelNotFoundError: it is not there.
            StoreBusyError: another process is working on it.
        """
        path = self.path_of(name)
        if not _is_dir(path):
            raise ModelNotFoundError(f"there is no model {name!r} in {self.root}.")
        try:
            with self.stage(name) as doomed:
                shutil.rmtree(doomed.tree)
                path.rename(doomed.tree)
                sync_parent(path)
                doomed.discard()
        except OSError as error:
            raise ModelNotFoundError(
                f"{error.filename or path} cannot be removed: {error.strerror or error}"
            ) from None

    def __iter__(self) -> Iterator[Artifact]:
        """The models that can be used; folders that cannot are passed over."""
        for name in self.names():
            try:
                yield self.find(name)
            except ModelError:
                continue


def resolve(model: str | ModelTarget, data_dir: Path) -> Artifact:
    """The folder that ``--model`` means, checked by models/policy.py.

    Args:
        model: `demo`; an alias of the catalog, its repository, or another name in the store; or a
            folder: absolute, relative or with ``~``. A name wins over a relative folder of the
            same name; write ``./name`` for that.
        data_dir: the store is ``<data_dir>/models``.

    Raises:
        ModelNotFoundError: with what is known about the name, and what to do.
        ModelRefusedError: the folder is not allowed.
        UnknownSchemeError: its quantisation is none that we know.
    """
    target = ModelTarget.parse(model)
    name, path = locate(target, data_dir)
    return demo() if _is_built_in(target) else load_folder(path, name=name)


def locate(model: str | ModelTarget, data_dir: Path) -> tuple[str, Path]:
    """The name and the folder that this text means, as in ``resolve``; nothing in it is checked.

    Raises:
        ModelNotFoundError: as in ``resolve``.
        ModelRefusedError: it is a file of another format.
    """
    target = ModelTarget.parse(model)
    for name, path in places(target, data_dir):
        if _is_built_in(target):
            return name, path
        if _is_dir(path):
            if not (path / folder.CONFIG).exists() and (advice := hub_cache.advice_on(str(path))):
                raise ModelNotFoundError(advice)
            return name, path
        other_formats.require_readable(path)
    store = DirectoryStore(data_dir)
    store.is_there()
    if target.entry is not None and target.revision is None:
        raise ModelNotFoundError(how_to_place(target.entry, store) + _in_the_cache(target))
    raise ModelNotFoundError(_nothing_known(target, store))


def places(target: ModelTarget, data_dir: Path) -> Iterator[tuple[str, Path]]:
    """Name and folder of each place where a model may be, in the order in which they count.

    Whether anything is there is not looked at. A name does not show a revision, so a target with
    one is in no place of the store: see ``ModelTarget.base``.
    """
    if _is_built_in(target):
        yield DEMO, DEMO_WEIGHTS
        return
    if target.revision is None and target.name is not None and is_plain_name(target.name):
        yield target.name, DirectoryStore(data_dir).path_of(target.name)
    if target.folder is not None:
        yield hub_cache.name_of(target.folder.absolute()) or target.folder.name, target.folder


def _is_built_in(target: ModelTarget) -> bool:
    return target.kind is Kind.BUILT_IN and target.revision is None


def demo() -> Artifact:
    """The built-in model.

    Raises:
        ModelNotFoundError: this installation lacks its weights.
    """
    if not _is_dir(DEMO_WEIGHTS):
        raise ModelNotFoundError(
            f"the built-in model's weights are missing from this installation ({DEMO_WEIGHTS}). "
            "Make them with `python -m models.demo.train`, or name another model."
        )
    return load_folder(DEMO_WEIGHTS, name=DEMO)


def load_folder(path: Path, *, name: str) -> Artifact:
    """A folder as an artifact, once it is allowed and whole.

    Raises:
        ModelNotFoundError: it lacks files, or cannot be read.
        ModelRefusedError: it is not allowed.
        UnknownSchemeError: its quantisation is none that we know.
    """
    path = path.resolve()
    other_formats.require_readable(path)
    marks = None
    try:
        # Else it is some other folder, of which there is nothing to refuse.
        if (path / folder.CONFIG).is_file():
            marks = unchanged.marks_in(path)
            policy.check(path)
        lacks = folder.missing(path)
    except OSError as error:
        raise ModelNotFoundError(f"{path} cannot be read: {error.strerror or error}") from None
    if lacks:
        raise ModelNotFoundError(
            f"the model folder {path} is not whole: it lacks {', '.join(lacks)}. "
            "A model folder holds config.json, *.safetensors and the tokenizer's files."
        )
    return Artifact(name=name, path=path, scheme=folder.scheme_of(path), marks=marks)


def how_to_place(entry: CatalogEntry, store: DirectoryStore) -> str:
    """Advice: the commands that bring a model of the catalog onto this machine."""
    if entry.repo is None:
        return f"model {entry.alias!r} is built in."
    place = f"--data-dir {shlex.quote(str(store.root.parent))}"
    lines = [
        f"model {entry.alias!r} ({entry.repo}) is not on this machine. Get it with",
        f"  python -m models pull {entry.alias} {place}",
        "or, without a connection, from a folder that was brought here:",
        f"  python -m models pull {entry.alias} {place} --from PATH",
    ]
    if entry.gated:
        lines.append(
            f"Its licence ({entry.licence}) must be accepted on the repository's page, and a token "
            "of that account given in HF_TOKEN."
        )
    if entry.note:
        lines.append(f"Note: {entry.note}")
    return "\n".join(lines)


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        raise ModelNotFoundError(f"{path} cannot be read: {error.strerror or error}") from None


def _nothing_known(target: ModelTarget, store: DirectoryStore) -> str:
    text = target.text
    near = catalog.load().near(text)
    if (advice := _how_to_quantise(target, store)) is not None:
        hint = f" {advice}"
    elif near:
        hint = f" Did you mean {' or '.join(near)}?"
    elif text.startswith((os.sep, ".", "~")):
        hint = " Give a folder that holds config.json and *.safetensors."
    else:
        hint = " `python -m models list` shows the names that are known."
    return (
        f"there is no model {text!r}: no alias of the catalog, no folder of that path and "
        f"nothing in {store.root}.{hint}"
    ) + _in_the_cache(target)


def _in_the_cache(target: ModelTarget) -> str:
    """Advice, on a line of its own, where Hugging Face's cache has this repository."""
    advice = hub_cache.advice_on(target.repo or target.text)
    return f"\n{advice}" if advice else ""


def _how_to_quantise(target: ModelTarget, store: DirectoryStore) -> str | None:
    """Advice: the command that makes ``NAME--SCHEME``; None where the model NAME is not here."""
    if target.quantised_from is None:
        return None
    name, scheme = target.quantised_from
    if name not in {DEMO, *store.names()}:
        return None
    place = f"--data-dir {shlex.quote(str(store.root.parent))}"
    return f"Make it with `python -m quantize {name} --scheme {scheme} {place}`."

"""Where weights are on this machine: the built-in model, the store, or a folder that was named.

The store is a directory, ``<data_dir>/models/<name>``, filled by `python -m models pull` or by
hand. ``resolve`` is the one way from the text given to --model to a folder to load.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import models
from models import catalog, folder, policy
from models.catalog import CatalogEntry
from models.errors import InvalidRefError, ModelError, ModelNotFoundError
from models.refs import Artifact, ModelRef
from models.staging import Staging, staged, sync_parent

DEMO = "demo"
DEMO_WEIGHTS = Path(models.__path__[0]) / "demo" / "weights"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class DirectoryStore:
    """Model folders under ``<data_dir>/models``, by name."""

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir.expanduser() / "models"

    def path_of(self, name: str) -> Path:
        """Where the folder of this name belongs, whether or not it is there.

        Raises:
            ModelNotFoundError: the name is no plain name, and could lead out of the store.
        """
        if not _PLAIN_NAME.fullmatch(name):
            raise ModelNotFoundError(
                f"{name!r} is not a name in the store: letters, digits, '.', '_' and '-' only."
            )
        return self.root / name

    def names(self) -> list[str]:
        """Names of the folders that are there, whole or not."""
        if not self.root.is_dir():
            return []
        return sorted(
            path.name
            for path in self.root.iterdir()
            if path.is_dir() and _PLAIN_NAME.fullmatch(path.name)
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
        """Where a model of this name is made; see models/staging.py.

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


def resolve(model: str, data_dir: Path) -> Artifact:
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
    name, path = locate(model, data_dir)
    return demo() if model == DEMO else load_folder(path, name=name)


def locate(model: str, data_dir: Path) -> tuple[str, Path]:
    """The name and the folder that this text means, as in ``resolve``; nothing in it is checked.

    Raises:
        ModelNotFoundError: as in ``resolve``.
    """
    if model == DEMO:
        return DEMO, DEMO_WEIGHTS
    store = DirectoryStore(data_dir)
    entry = catalog.load().find(model)
    name = entry.alias if entry else _stored_name(model)
    if _PLAIN_NAME.fullmatch(name) and _is_dir(store.path_of(name)):
        return name, store.path_of(name)
    path = _as_folder(model)
    if path is not None:
        return path.name, path
    if entry is not None:
        raise ModelNotFoundError(how_to_place(entry, store))
    raise ModelNotFoundError(_nothing_known(model, store))


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
    try:
        if (
            path / folder.CONFIG
        ).is_file():  # else it is some other folder, of which there is nothing to refuse
            policy.check(path)
        lacks = folder.missing(path)
    except OSError as error:
        raise ModelNotFoundError(f"{path} cannot be read: {error.strerror or error}") from None
    if lacks:
        raise ModelNotFoundError(
            f"the model folder {path} is not whole: it lacks {', '.join(lacks)}. "
            "A model folder holds config.json, *.safetensors and the tokenizer's files."
        )
    return Artifact(name=name, path=path, scheme=folder.scheme_of(path))


def name_of(ref: ModelRef) -> str:
    """What a repository is called in the store when it has no alias: ``owner--name``."""
    return ref.repo.replace("/", "--")


def how_to_place(entry: CatalogEntry, store: DirectoryStore) -> str:
    """What to do to have a model of the catalog on this machine."""
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


def _stored_name(model: str) -> str:
    """The name in the store that this text stands for: itself, or a repository's."""
    try:
        return name_of(ModelRef(repo=model))
    except InvalidRefError:
        return model


def _as_folder(model: str) -> Path | None:
    """The folder that this text names; None when there is none."""
    if "\0" in model or not model.strip():
        return None
    try:
        path = Path(model).expanduser()
    except RuntimeError:  # ~user of no such user
        return None
    return path if _is_dir(path) else None


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        raise ModelNotFoundError(f"{path} cannot be read: {error.strerror or error}") from None


def _nothing_known(model: str, store: DirectoryStore) -> str:
    near = catalog.load().near(model)
    if near:
        hint = f" Did you mean {' or '.join(near)}?"
    elif model.startswith((os.sep, ".", "~")):
        hint = " Give a folder that holds config.json and *.safetensors."
    else:
        hint = " `python -m models list` shows the names that are known."
    return (
        f"there is no model {model!r}: no alias of the catalog, no folder of that path and "
        f"nothing in {store.root}.{hint}"
    )

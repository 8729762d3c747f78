"""The model that a text names, as given to ``--model`` and to most commands.

The text is parsed once, and its meaning carried as a value from there::

    text                               kind         name in the store   repository, revision
    demo                               BUILT_IN     demo
    qwen2-7b, Qwen/Qwen2-7B-Instruct   CATALOG      qwen2-7b            Qwen/Qwen2-7B-Instruct
    qwen2-7b@v1                        CATALOG      qwen2-7b            Qwen/Qwen2-7B-Instruct, v1
    acme/tune, acme/tune@v2            REPOSITORY   acme--tune          acme/tune, v2
    our-tune, our-tune--int8           NAME         itself
    ./folder, /a/folder, ~/folder      PATH

What is on this machine is not looked at here: that is for models/store.py. A text of any kind but
BUILT_IN may name a folder as well; the store is looked at first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Self

from models import catalog
from models.catalog import CatalogEntry
from models.errors import InvalidRefError
from models.refs import DEFAULT_REVISION, ModelRef, QuantScheme

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MARK = "--"
"""Between owner and name of a repository, and before the scheme of quantised weights."""


class Kind(StrEnum):
    """The kind of thing that a text names, as far as the text and the catalogue tell."""

    BUILT_IN = "built-in"
    CATALOG = "catalog"
    REPOSITORY = "repository"
    NAME = "name"
    PATH = "path"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTarget:
    """One model, as it was named.

    Attributes:
        text: as it was given.
        name: what it is called in the store; None for a path.
        repo: ``owner/name``, where it names a repository.
        revision: what follows ``@``; None where none was named. Of a catalogue's model it is not
            checked before ``ref`` is asked for.
        entry: the catalogue's.
    """

    text: str
    kind: Kind
    name: str | None = None
    repo: str | None = None
    revision: str | None = None
    entry: CatalogEntry | None = None

    @classmethod
    def parse(cls, model: str | Self) -> Self:
        """The target of any text; a target is returned as it is. Raises nothing."""
        if isinstance(model, cls):
            return model
        text = str(model)
        head, at, tail = text.partition("@")
        revision = tail if at else None
        entry = catalog.load().find(head)
        if entry is not None:
            kind = Kind.CATALOG if entry.repo is not None else Kind.BUILT_IN
            named = cls(text=text, kind=kind, name=entry.alias, repo=entry.repo, entry=entry)
            return replace(named, revision=revision)
        try:
            ref = ModelRef.parse(text)
        except InvalidRefError:
            is_name = is_plain_name(text)
            kind = Kind.NAME if is_name else Kind.PATH
            return cls(text=text, kind=kind, name=text if is_name else None)
        name = ref.repo.replace("/", _MARK)
        return cls(text=text, kind=Kind.REPOSITORY, name=name, repo=ref.repo, revision=revision)

    @property
    def ref(self) -> ModelRef | None:
        """The repository and its revision; None where the text names no repository.

        Raises:
            InvalidRefError: what follows ``@`` is no revision.
        """
        if self.repo is None:
            return None
        revision = DEFAULT_REVISION if self.revision is None else self.revision
        return ModelRef(repo=self.repo, revision=revision)

    @property
    def is_fetchable(self) -> bool:
        """Whether it can be pulled. A path that does not exist is a mistake and no repository."""
        if self.repo is None:
            return False
        return self.kind is Kind.CATALOG or not Path(self.repo.partition("/")[0]).is_dir()

    @property
    def base(self) -> Self:
        """The same model without a revision: what is looked for on this machine."""
        if self.revision is None or not self.is_fetchable:
            return self
        return replace(self, text=self.text.partition("@")[0], revision=None)

    @property
    def folder(self) -> Path | None:
        """The path that the text is, whether or not it is there; None where it is none."""
        if "\0" in self.text or not self.text.strip():
            return None
        try:
            return Path(self.text).expanduser()
        except RuntimeError:  # ~user of no such user
            return None

    @property
    def quantised_from(self) -> tuple[str, QuantScheme] | None:
        """Name and scheme of ``NAME--SCHEME``; None for a text of another form."""
        name, mark, scheme = self.text.rpartition(_MARK)
        schemes = set(QuantScheme) - {QuantScheme.NONE}
        if self.kind is not Kind.NAME or not mark or scheme not in schemes:
            return None
        return name, QuantScheme(scheme)


def is_plain_name(text: str) -> bool:
    """Whether the store can have a folder of this name."""
    return _PLAIN_NAME.fullmatch(text) is not None


def quantised_name(name: str, scheme: object) -> str:
    """The name in the store of a model's weights once they are quantised.

    Args:
        name: the full model's.
        scheme: a scheme, or a choice of one (quantize/plan/choices.py).
    """
    return f"{name}{_MARK}{scheme}"

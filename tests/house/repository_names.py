"""The names that this repository has: files, modules, identifiers, flags, targets of make."""

from __future__ import annotations

import ast
import fnmatch
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from tests.house import commands
from tests.house.passages import without_docstrings
from tests.house.tree import ROOT, files, name_of

TESTS = Path(__file__).parents[1]
_PROGRAMS = frozenset({".py", ".toml", ".yaml", ".conf", ".sh", ".json", ".jinja"})
_WORD = re.compile(r"[A-Za-z_]\w*")
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9]")
_TARGET = re.compile(r"^[a-z-]+(?=:)|(?<=\$\()[A-Z_]+(?=\))|(?<=\$\(if \$\()[A-Z_]+", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Names:
    """The names that a text may use.

    Attributes:
        files: paths from the root.
        words: identifiers and words of programs and manifests, without docstrings and comments.
        flags: of all commands and scripts.
        targets: of the Makefile, and its variables.
    """

    files: frozenset[str]
    words: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()
    targets: frozenset[str] = frozenset()

    @cached_property
    def places(self) -> frozenset[str]:
        """Files, modules (files without ``.py``) and folders."""
        folders = {str(parent) for name in self.files for parent in PurePosixPath(name).parents}
        modules = {name.removesuffix(".py") for name in self.files}
        return self.files | modules | folders

    @cached_property
    def first_words(self) -> frozenset[str]:
        """What words begin with: programs put `ttft_ms` together from `ttft` and a unit."""
        return frozenset(
            word[:end] for word in self.words for end, letter in enumerate(word) if letter == "_"
        )

    @cached_property
    def by_last_part(self) -> dict[str, list[str]]:
        """The places of each last part, in order."""
        places = defaultdict(list)
        for place in sorted(self.places):
            places[place.rpartition("/")[2]].append(place)
        return dict(places)

    def meant(self, path: str, file: str) -> list[str]:
        """The places that a path can mean where a file names it.

        From the root, beside the file, in the package that a page of docs/ is named after, or else
        every place that ends in the path. ``*`` stands for anything but is looked for everywhere.
        """
        path = path.strip("/")
        if "*" in path:
            return [place for place in self.places if fnmatch.fnmatch(f"/{place}", f"*/{path}")]
        page = PurePosixPath(file)
        for place in (path, posixpath.normpath(page.parent / path), f"{page.stem}/{path}"):
            if place in self.places:
                return [place]
        ends = self.by_last_part.get(path.rpartition("/")[2], [])
        return [place for place in ends if f"/{place}".endswith(f"/{path}")]


def of_repository(root: Path = ROOT) -> Names:
    """Read all files of the tree once."""
    words: set[str] = set()
    flags = commands.flags("serve", "models", "quantize", "benchmarks")
    paths = [path for path in files(root) if path.suffix != ".pyc"]
    for path in paths:
        is_program = path.suffix in _PROGRAMS or path.name.startswith(("Makefile", "Dockerfile"))
        if not is_program or TESTS in path.parents:  # which name what is not there, too
            continue
        text = path.read_text("utf-8")
        if path.suffix == ".py":
            flags.update(declared_flags(text))
            text = without_docstrings(text)
        elif path.suffix == ".sh":
            flags.update(_FLAG.findall(text))
        words.update(_WORD.findall(text))
    return Names(
        files=frozenset(name_of(path, root) for path in paths),
        words=frozenset(words),
        flags=frozenset(flags),
        targets=frozenset(_TARGET.findall((root / "Makefile").read_text("utf-8"))),
    )


def declared_flags(source: str) -> Iterator[str]:
    """The flags that calls of ``add_argument``, or of a short name for it, declare."""
    if "argparse" not in source:
        return
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(attr="add_argument") | ast.Name(id="add"), args=args):
                for argument in args:
                    match argument:
                        case ast.Constant(value=str(flag)) if flag.startswith("--"):
                            yield flag

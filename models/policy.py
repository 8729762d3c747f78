"""The files that a model folder may hold: safetensors, and the text that goes with them.

An allow-list: what is not named here is refused, and every refusal names the file and the rule.
Checked with the standard library and Jinja's parser, before torch or transformers are imported, so
that nothing in the folder has been parsed by them by then.

========================  ================================================================
what                      where its rules are
========================  ================================================================
kinds and names of files  here, and models/rules/names.py; to allow a format: ALLOWED
content of allowed files  models/rules/content.py
content against suffix    models/rules/disguise.py
safetensors files         models/rules/safetensors_header.py
index of shards           models/rules/shard_index.py
configurations            models/rules/config_rules.py, through models/rules/strict_json.py
bookkeeping, passed over  models/rules/bookkeeping.py
work for a whole folder   models/rules/budget.py
chat templates            models/rules/templates.py, models/rules/template_sizes.py
========================  ================================================================

A folder that passes is well-formed, which does not say who made it: that is for digests and
signatures (models/trust/manifest.py, models/trust/signing.py).
"""

from __future__ import annotations

import gc
import itertools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models import hub_cache, plain_file
from models.errors import ModelNotFoundError, ModelRefusedError
from models.rules import (
    bookkeeping,
    names,
)
from models.rules.budget import Budget, BudgetFault
from models.rules.content import OWN_NAMES, content_refusal
from models.rules.refusals import Refusal

MAX_FILES = 1000
MAX_DEPTH = 3
MAX_ENTRIES = 20_000
"""Most files and folders that are looked at to say what is wrong."""
MAX_SHOWN = 8

ALLOWED = frozenset({".safetensors", ".json", ".txt", ".model", ".tiktoken", ".jinja", ".md"})
ALLOWED_NAMES = frozenset({"license", "licence", "notice"})
_PICKLE = "loading it can run code; convert the model to safetensors"
_CODE = "a model brings no code of its own"
_LINK = (
    "links can lead out of the folder, but for those of Hugging Face's cache into the same entry's "
    "blobs; copy with `cp -rL`"
)
_FORMAT = "weights are read from safetensors only"
SUFFIX_RULES: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz"),
        ("pickle", _PICKLE),
    ),
    **dict.fromkeys((".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".sh"), ("code", _CODE)),
    **dict.fromkeys((".gguf", ".ggml", ".onnx", ".h5", ".msgpack"), ("weights-format", _FORMAT)),
}
"""Suffix → (rule, reason), for a message better than 'not on the list'."""


def check(folder: Path) -> None:
    """Let a model folder pass, or say why not.

    Raises:
        ModelNotFoundError: it cannot be read.
        ModelRefusedError: it breaks a rule; the message has the first few breaches.
    """
    try:
        with _collector_paused():
            refusals = list(inspect(folder))
    except OSError as error:
        raise ModelNotFoundError(
            f"the model folder {folder} cannot be read: {error.strerror or error}"
        ) from None
    if refusals:
        shown = "\n".join(f"  {refusal}" for refusal in refusals[:MAX_SHOWN])
        more = f"\n  and {len(refusals) - MAX_SHOWN} more" if len(refusals) > MAX_SHOWN else ""
        raise ModelRefusedError(
            f"the model folder {folder} is refused:\n{shown}{more}\n"
            f"Allowed are {', '.join(sorted(ALLOWED))} and licence files."
        )


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause Python's collector, which took half of the time that 200,000 tensors need: parsed JSON
    has no cycles, and the collector walks all of it again and again.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def inspect(folder: Path) -> Iterator[Refusal]:
    """Every breach in the folder, by path.

    Raises:
        OSError: something in it cannot be read.
    """
    listed = list(itertools.islice(_walk(folder, folder, 0, itertools.count(1)), MAX_FILES + 1))
    if len(listed) > MAX_FILES:  # before a byte of any is read
        yield Refusal(".", "size", f"it holds more than {MAX_FILES:,} files")
        return
    budget = Budget()
    for path, name in listed:
        try:
            refusal = (
                _by_name(name)
                or _by_kind(path, name)
                or _by_suffix(path, name)
                or content_refusal(path, name, budget)
            )
        except BudgetFault as fault:
            yield Refusal(name, "size", f"it {fault}; nothing after it was read")
            return
        if refusal is not None:
            yield refusal
    clash = names.clash(name for _, name in listed)
    if clash is not None:
        reason = f"its name differs from {clash[0]!r} in case or Unicode form only"
        yield Refusal(clash[1], "name", reason)


def name_refusal(name: str) -> Refusal | None:
    """Whether a file of this name may be in a model folder, before there is a file.

    Args:
        name: relative to the folder, in POSIX form.
    """
    wrong = _by_name(name)
    if wrong is not None:
        return wrong
    path = Path(name)
    if any(part.startswith(".") for part in path.parts):
        return Refusal(name, "hidden", "hidden files are not part of a model")
    if len(path.parts) > MAX_DEPTH + 1:
        return Refusal(name, "depth", f"it lies more than {MAX_DEPTH} folders deep")
    return _by_suffix(path, name)


def passed_over(folder: Path) -> list[str]:
    """Names at the top of a folder that no rule, manifest or engine looks at.

    Raises:
        OSError: the folder cannot be read.
    """
    with os.scandir(folder) as entries:
        some = itertools.islice(entries, MAX_ENTRIES)
        return sorted(entry.name for entry in some if bookkeeping.is_bookkeeping(entry))


def _walk(folder: Path, root: Path, depth: int, count: Iterator[int]) -> Iterator[tuple[Path, str]]:
    """Files, links, and folders that go too deep, up to MAX_ENTRIES. Follows no link."""
    with os.scandir(folder) as entries:
        ordered = sorted(itertools.islice(entries, MAX_ENTRIES), key=lambda entry: entry.name)
    for entry in ordered:
        path = Path(entry.path)
        if bookkeeping.is_bookkeeping(entry):
            continue
        if next(count) > MAX_ENTRIES:
            raise OSError(0, f"it holds more than {MAX_ENTRIES:,} files and folders", str(root))
        if entry.is_dir(follow_symlinks=False) and depth < MAX_DEPTH:
            yield from _walk(path, root, depth + 1, count)
        else:
            yield path, path.relative_to(root).as_posix()


def _by_kind(path: Path, name: str) -> Refusal | None:
    mode = hub_cache.place_of(path).lstat().st_mode
    if stat.S_ISLNK(mode):
        return Refusal(name, "symlink", _LINK)
    if stat.S_ISDIR(mode):
        return Refusal(name, "depth", f"it lies more than {MAX_DEPTH} folders deep")
    if not stat.S_ISREG(mode):
        kind = plain_file.kind_of(path) or "something else"
        return Refusal(name, "special-file", f"it is not a plain file but {kind}; remove it")
    if path.name.startswith("."):
        return Refusal(name, "hidden", "hidden files are not part of a model")
    return None


def _by_name(name: str) -> Refusal | None:
    wrong = names.fault(name)
    return None if wrong is None else Refusal(name, "name", f"its name {wrong}")


def _by_suffix(path: Path, name: str) -> Refusal | None:
    suffix = path.suffix.lower()
    if suffix in SUFFIX_RULES:
        return Refusal(name, *SUFFIX_RULES[suffix])
    if suffix in ALLOWED or path.name.lower() in ALLOWED_NAMES or name in OWN_NAMES:
        return None
    return Refusal(name, "file-type", "not among the kinds of file that a model may hold")

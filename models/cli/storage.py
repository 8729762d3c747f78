"""`rm`, `du` and `gc`: what models take on the disk, and how to have it back."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import stat
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from models import staging
from models.cli.options import Commands, command
from models.errors import ModelError, ModelNotFoundError
from models.lockfile import LockFile
from models.progress import size
from models.store import DEMO, DirectoryStore
from models.trust.verified_cache import Stamps

RM_EPILOG = """\
Removes the folder, its pin in models.lock and its stamp. A server that has it open keeps serving
until it is restarted. Asks first, unless --yes.

examples:
  python -m models rm qwen2-0.5b
  python -m models rm qwen2-0.5b our-tune --yes

exit codes: 0 removed; 1 you said no; 2 there is no such model, or it cannot be removed
"""
DU_EPILOG = """\
Counts every file once, halves of pulls that were interrupted too ("staged").

examples:
  python -m models du
  python -m models du --json | jq .free_bytes
"""
GC_EPILOG = """\
Shows, and with --yes removes:
  what interrupted pulls and imports left (a later pull would go on with it)
  stamps of models that are gone
Never a model, and nothing that a running command is working on.

examples:
  python -m models gc          what would go
  python -m models gc --yes    remove it
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A file or folder that gc may remove. ``kind`` is ``staged`` or ``stamp``."""

    kind: str
    path: str
    size_bytes: int


def add_commands(commands: Commands) -> None:
    """Add `rm`, `du` and `gc`."""
    remove = command(
        commands, "rm", text="remove models from this machine", run=_rm, epilog=RM_EPILOG
    )
    remove.add_argument("names", nargs="+", metavar="NAME", help="as `list` shows them")
    remove.add_argument("--yes", action="store_true", help="do not ask")
    command(commands, "du", text="what each model takes on the disk", run=_du, epilog=DU_EPILOG)
    collect = command(commands, "gc", text="remove what is left over", run=_gc, epilog=GC_EPILOG)
    collect.add_argument("--yes", action="store_true", help="remove; without it, only show")


def _rm(options: argparse.Namespace) -> int:
    store = DirectoryStore(options.data_dir)
    names = list(dict.fromkeys(options.names))
    for name in names:  # all of them, before the first is gone
        if name == DEMO:
            raise ModelError(f"{DEMO!r} is built in and stays; it belongs to the program.")
        if not store.path_of(name).is_dir():
            raise ModelNotFoundError(
                f"there is no model {name!r} in {store.root}. `python -m models list` shows what "
                "is; a folder elsewhere is yours to remove."
            )
    sizes = {name: _size(store.path_of(name)) for name in names}
    if not options.yes:
        if not sys.stdin.isatty():
            raise ModelError("there is no terminal to ask at; say --yes to remove.")
        for name in names:
            print(f"{size(sizes[name]):>10}  {store.path_of(name)}", file=sys.stderr)
        print("remove? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            print("nothing was removed", file=sys.stderr)
            return 1
    for name in names:
        Stamps(options.data_dir).forget(store.path_of(name))
        store.remove(name)
        LockFile(options.data_dir).put(name, None)
        if not options.json:
            print(f"removed {name} ({size(sizes[name])})")
    if options.json:
        removed = [{"name": name, "size_bytes": sizes[name]} for name in names]
        print(json.dumps({"removed": removed}, indent=2))
    return 0


def _du(options: argparse.Namespace) -> int:
    store = DirectoryStore(options.data_dir)
    models = {name: _size(store.path_of(name)) for name in store.names()}
    staged = {
        name: _size(store.root / staging.STAGING / name) for name in staging.names(store.root)
    }
    free = shutil.disk_usage(_existing(store.root)).free
    if options.json:
        document = {
            "data_dir": str(options.data_dir),
            "models": [{"name": name, "size_bytes": num} for name, num in models.items()],
            "staged": [{"name": name, "size_bytes": num} for name, num in staged.items()],
            "total_bytes": sum(models.values()) + sum(staged.values()),
            "free_bytes": free,
        }
        print(json.dumps(document, indent=2))
        return 0
    for name, num_bytes in models.items():
        print(f"{size(num_bytes):>10}  {name}")
    for name, num_bytes in staged.items():
        print(f"{size(num_bytes):>10}  {name} (staged: pull it again to go on, or gc)")
    total = size(sum(models.values()) + sum(staged.values()))
    print(f"{total:>10}  in all; {size(free)} free on the disk of {store.root}")
    return 0


def _gc(options: argparse.Namespace) -> int:
    store = DirectoryStore(options.data_dir)
    leftovers = _leftovers(store, Stamps(options.data_dir))
    if options.yes:
        for leftover in leftovers:
            _remove(store, Path(leftover.path))
    freed = sum(leftover.size_bytes for leftover in leftovers)
    if options.json:
        document = {
            "removed": options.yes,
            "size_bytes": freed,
            "leftovers": [asdict(leftover) for leftover in leftovers],
        }
        print(json.dumps(document, indent=2))
        return 0
    for leftover in leftovers:
        print(f"{size(leftover.size_bytes):>10}  {leftover.kind:6}  {leftover.path}")
    if not leftovers:
        print("nothing is left over")
    elif options.yes:
        print(f"removed {size(freed)}")
    else:
        print(f"{size(freed)} can go: say --yes to remove it")
    return 0


def _leftovers(store: DirectoryStore, stamps: Stamps) -> list[Leftover]:
    folders = [
        store.root / staging.STAGING / name
        for name in staging.names(store.root)
        if not staging.is_held(store.root, name)
    ]
    return [Leftover(kind="staged", path=str(path), size_bytes=_size(path)) for path in folders] + [
        Leftover(kind="stamp", path=str(path), size_bytes=path.stat().st_size)
        for path in stamps.of_absent()
    ]


def _remove(store: DirectoryStore, path: Path) -> None:
    if path.parent.name != staging.STAGING:
        path.unlink(missing_ok=True)
        return
    with store.stage(path.name) as staged:  # nobody has begun in between
        staged.discard()


def _size(folder: Path) -> int:
    """Bytes of all plain files, at any depth; links are not followed."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # a running pull moved it on
                status = (Path(path) / name).lstat()
                total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    while not path.exists():
        path = path.parent
    return path

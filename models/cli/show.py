"""`list` and `show`: what the catalog knows, and what is here.

Reads names and sizes only; nothing is loaded and nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from models import catalog, folder, policy, reports
from models.catalog import CatalogEntry
from models.cli import output
from models.cli.options import Commands, command
from models.errors import ManifestError, ModelError
from models.quality import Quality
from models.refs import QuantScheme
from models.rules import names
from models.store import DEMO, DEMO_WEIGHTS, DirectoryStore, resolve
from models.target import ModelTarget
from models.trust.manifest import QUANTISED_FROM, Manifest


def add_commands(commands: Commands) -> None:
    """Add `list` and `show`."""
    text = "the catalog, and the folders on this machine"
    command(commands, "list", text=text, run=_list)
    text = "one model: facts, and whether it could be served"
    show = command(commands, "show", text=text, run=_show)
    show.add_argument("name", metavar="NAME", help="alias, repository or folder")


def rows(data_dir: Path) -> list[dict[str, Any]]:
    """The catalog's models, then folders of other names. ``present`` says that a folder is there.

    ``size_bytes`` is on this disk, and None for what is not here.
    """
    store = DirectoryStore(data_dir)
    listed = [_row(entry.alias, entry, store) for entry in catalog.load().values()]
    others = [name for name in store.names() if name not in catalog.load()]
    return listed + [_row(name, None, store) for name in others]


def _row(name: str, entry: CatalogEntry | None, store: DirectoryStore) -> dict[str, Any]:
    path = DEMO_WEIGHTS if name == DEMO else store.path_of(name)
    facts = asdict(entry) if entry else {"alias": name}
    is_present = path.is_dir()
    return facts | {
        "path": str(path),
        "present": is_present,
        "size_bytes": _size(path) if is_present else None,
        "scheme": _scheme(path) if is_present else None,
        **_identity(path),
    }


def _identity(path: Path) -> dict[str, str | None]:
    """Digest and commit as a folder's manifest claims them; whether they hold, `verify` says.

    ``quantised_from`` is the digest of the full weights that it was made from, if it was made here.
    """
    try:
        manifest = Manifest.read(path)
    except ManifestError:  # none, or not one of ours
        return {"digest": None, "commit": None, "quantised_from": None}
    return {
        "digest": manifest.digest,
        "commit": manifest.source.revision if manifest.source else None,
        "quantised_from": manifest.tools.get(QUANTISED_FROM),
    }


def _scheme(path: Path) -> str | None:
    try:
        return str(folder.scheme_of(path))
    except ModelError:  # not whole, or in a way that we do not know; `show` says which
        return None


def _size(path: Path) -> int | None:
    try:
        return folder.size_bytes(path)
    except OSError:  # not ours to read; it is listed all the same
        return None


def _list(options: argparse.Namespace) -> int:
    listed = rows(options.data_dir)
    if options.json:
        print(json.dumps(listed, indent=2))
        return 0
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("model", "here", "parameters", "context", "licence", "repository"):
        is_number = heading in ("here", "parameters", "context")
        table.add_column(
            heading,
            justify="right" if is_number else "left",
            overflow="fold",
            no_wrap=is_number,
        )
    for row in listed:
        gate = " (gated)" if row.get("gated") else ""
        table.add_row(
            Text(row["alias"], style="bold green" if row["present"] else ""),
            _bytes(row["size_bytes"]) if row["present"] else "-",
            _count(row.get("parameters")),
            f"{row['context_length']:,}" if row.get("context_length") else "-",
            row.get("licence", "-"),
            _origin(row) + gate,
        )
    console = output.console()
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(table)
    num_here = sum(row["present"] for row in listed)
    console.print(
        f"{num_here} of {len(listed)} on this machine. `python -m models pull NAME` fetches one.",
        highlight=False,
    )
    return 0


_WIDTH = 160
"""Columns of the list in a pipe or a file, where names are searched for and so not folded."""


def _show(options: argparse.Namespace) -> int:
    target = ModelTarget.parse(options.name)
    entry = target.entry if target.revision is None else None
    facts: dict[str, Any] = asdict(entry) if entry else {"alias": target.text}
    problem: str | None = None
    try:
        artifact = resolve(target, options.data_dir)
    except ModelError as error:
        if entry is None:
            raise
        problem = str(error)
        facts |= {"present": False, "problem": problem}
    else:
        facts |= {
            "present": True,
            "path": str(artifact.path),
            "size_bytes": folder.size_bytes(artifact.path),
            "scheme": str(artifact.scheme),
            **_identity(artifact.path),
        }
        skipped = policy.passed_over(artifact.path)
        facts |= {"passed_over": skipped} if skipped else {}
        manifest = Manifest.find(artifact.path)
        if manifest is not None and manifest.quality is not None:
            facts["measured"] = manifest.quality.to_json()
        report = reports.summary(options.data_dir, artifact.name, facts["digest"])
        facts |= {} if report is None else {"quality": report}
    if options.json:
        print(json.dumps(facts, indent=2))
        return 0
    if "measured" in facts:
        facts["measured"] = Quality.from_json(facts["measured"]).line
    if "quality" in facts:
        facts["quality"] = reports.in_words(facts["quality"])
    for key, value in facts.items():
        if value is not None and key != "problem":
            print(f"{key.replace('_', ' '):>16}  {_shown(value)}")
    if problem is not None:
        print(f"\n{names.printable_lines(problem)}")
    return 0


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else names.printable(str(value))


def _count(number: int | None) -> str:
    if number is None:
        return "-"
    return f"{number / 1e9:.2f} B" if number >= 999.5e6 else f"{number / 1e6:.0f} M"


def _origin(row: dict[str, Any]) -> str:
    """A repository; for a folder with none, what its weights are if they are not full."""
    is_quantised = row["scheme"] not in (None, QuantScheme.NONE)
    return row.get("repo") or (f"({row['scheme']})" if is_quantised else "-")


def _bytes(number: int | None) -> str:
    if number is None:
        return "unreadable"
    return f"{number / 1e9:.2f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"

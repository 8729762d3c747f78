"""`list`: what the catalog knows, what is here, and what would fit this machine.

Reads names, sizes and config.json only; nothing is loaded and nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from models import catalog, folder
from models.catalog import CatalogEntry
from models.cli import output
from models.cli.options import Commands, command
from models.cli.show import identity
from models.errors import ModelError
from models.memory import shapes, this_machine
from models.memory.fit import Request
from models.memory.this_machine import Room
from models.memory.verdicts import FIRST, Answer, verdicts
from models.refs import QuantScheme, Scheme
from models.rules import strict_json
from models.rules.content import MAX_CONFIG_BYTES
from models.rules.strict_json import JsonFault
from models.store import DEMO, DEMO_WEIGHTS, DirectoryStore

WIDTH = 80
"""Columns of the list where nobody says how many there are. Names are then not folded."""
_LONG_WIDTH = 140
_UNBOUNDED = 1000
_STYLES = {Answer.YES: "green", Answer.SHORT: "yellow", Answer.NO: "red"}
EPILOG = """\
what is printed:
  size    on this disk; of a model that is not here, of its full weights
  as is   whether the model fits this machine without --quant
  int8    whether it does with --quant int8; int4 the same
  to 8k   it does, with 8,000 tokens of its context
Counted is a GPU's memory where there is one, else what is free now; `fit` has the figures.

exit codes: 0 done
"""


def add_commands(commands: Commands) -> None:
    """Add `list`."""
    text = "the catalog, the folders on this machine, and what fits it"
    parser = command(commands, "list", text=text, run=_list, epilog=EPILOG)
    parser.add_argument(
        "--long", action="store_true", help="parameters, licence and repository, too"
    )


def rows(data_dir: Path, room: Room | None = None) -> list[dict[str, Any]]:
    """The catalog's models, then folders of other names. ``present`` says that a folder is there.

    ``size_bytes`` is on this disk, and None for what is not here. ``fit`` is None where the sizes
    or this machine's memory are not known.
    """
    store = DirectoryStore(data_dir)
    listed = [_row(entry.alias, entry, store, room) for entry in catalog.load().values()]
    others = [name for name in store.names() if name not in catalog.load()]
    return listed + [_row(name, None, store, room) for name in others]


def _row(
    name: str, entry: CatalogEntry | None, store: DirectoryStore, room: Room | None
) -> dict[str, Any]:
    path = DEMO_WEIGHTS if name == DEMO else store.path_of(name)
    facts = asdict(entry) if entry else {"alias": name}
    is_present = path.is_dir()
    scheme = _scheme(path) if is_present else QuantScheme.NONE
    config = _config(path) if is_present else shapes.published().get(name)
    return facts | {
        "path": str(path),
        "present": is_present,
        "size_bytes": _size(path) if is_present else None,
        "scheme": str(scheme) if is_present and scheme is not None else None,
        **identity(path),
        "fit": _fit(path, scheme, config, room),
    }


def _fit(
    path: Path, scheme: Scheme | None, config: Mapping[str, Any] | None, room: Room | None
) -> dict[str, Any] | None:
    if room is None or config is None or scheme is None:
        return None
    num_bytes = None
    if scheme is not QuantScheme.NONE:
        try:
            num_bytes = folder.weights_bytes(path) or None
        except (ModelError, OSError):
            return None
    found = verdicts(Request(config=config, weights_bytes=num_bytes), scheme, room)
    if found is None:
        return None
    schemes = {str(name): asdict(verdict) for name, verdict in found.items()}
    return {"place": str(room.place), "memory_bytes": room.num_bytes, "schemes": schemes}


def _config(path: Path) -> Mapping[str, Any] | None:
    try:
        config = strict_json.read(path / folder.CONFIG, max_bytes=MAX_CONFIG_BYTES)
    except (JsonFault, OSError):
        return None
    return config if isinstance(config, Mapping) else None


def _scheme(path: Path) -> Scheme | None:
    try:
        return folder.scheme_of(path)
    except ModelError:  # not whole, or in a way that we do not know; `show` says which
        return None


def _size(path: Path) -> int | None:
    try:
        return folder.size_bytes(path)
    except OSError:  # not ours to read; it is listed all the same
        return None


def _list(options: argparse.Namespace) -> int:
    room = this_machine.room()
    listed = rows(options.data_dir, room)
    if options.json:
        print(json.dumps(listed, indent=2))
        return 0
    console = output.console()
    is_long = options.long or (console.is_terminal and console.width >= _LONG_WIDTH)
    table = _table(listed, is_long=is_long)
    if not console.is_terminal:  # in a pipe names are searched for, and so not folded
        console.width = max(WIDTH, Console(width=_UNBOUNDED).measure(table).maximum)
    console.print(table)
    num_here = sum(row["present"] for row in listed)
    console.print(
        f"{num_here} of {len(listed)} on this machine. `python -m models pull NAME` fetches one."
    )
    console.print(_what_is_counted(room))
    return 0


def _what_is_counted(room: Room | None) -> str:
    if room is None:
        return "How much memory is free here is not known, so nothing is said of what fits."
    return (
        f"What fits {room}: as it is, with --quant int8, int4;\n"
        "`to 8k` with 8,000 tokens of its context. `models fit NAME` has the figures."
    )


def _table(listed: list[dict[str, Any]], *, is_long: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", overflow="fold")
    for heading in ("here", "size", "context"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("as is", "int8", "int4"):
        table.add_column(heading, no_wrap=True)
    if is_long:
        table.add_column("parameters", justify="right", no_wrap=True)
        table.add_column("licence", overflow="fold")
        table.add_column("repository", overflow="fold")
    for row in listed:
        cells = [
            _name(row),
            "yes" if row["present"] else "-",
            _bytes(row),
            f"{row['context_length']:,}" if row.get("context_length") else "-",
            *_answers(row),
        ]
        if is_long:
            cells += [
                _count(row.get("parameters")),
                row.get("licence", "-"),
                row.get("repo") or "-",
            ]
        table.add_row(*cells)
    return table


def _name(row: dict[str, Any]) -> Text:
    text = Text(row["alias"], style="bold green" if row["present"] else "")
    if row.get("gated"):
        text.append(" (gated)", style="dim")
    if row["scheme"] not in (None, QuantScheme.NONE):
        text.append(f" ({row['scheme']})", style="dim")
    return text


def _answers(row: dict[str, Any]) -> list[Text]:
    """The cells of "as is", int8 and int4."""
    if row["fit"] is None:
        return [Text("-")] * len(FIRST)
    found = row["fit"]["schemes"]
    stored = row["scheme"] or str(QuantScheme.NONE)
    cells = [found[stored], *(found.get(str(scheme)) for scheme in FIRST[1:])]
    if stored != QuantScheme.NONE:
        cells[1:] = [None, None]  # what was rounded once is not rounded again
    return [Text("-") if cell is None else _answer(cell) for cell in cells]


def _answer(cell: dict[str, Any]) -> Text:
    answer, length = Answer(cell["answer"]), cell["longest_context"]
    if answer is Answer.SHORT:
        return Text(f"to {length // 1000}k" if length >= 1000 else f"to {length}", _STYLES[answer])
    return Text(answer, _STYLES[answer])


def _count(number: int | None) -> str:
    if number is None:
        return "-"
    return f"{number / 1e9:.2f} B" if number >= 999.5e6 else f"{number / 1e6:.0f} M"


def _bytes(row: dict[str, Any]) -> str:
    number = row["size_bytes"]
    if row["present"] and number is None:
        return "unreadable"
    if number is None and row["fit"] is not None:
        number = row["fit"]["schemes"][str(QuantScheme.NONE)]["weights_bytes"]
    number = number or row.get("weights_bytes")
    if number is None:
        return "-"
    return f"{number / 1e9:.2f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"

"""The ways of a report: tables to the terminal, files to --out, JSON to stdout's last line."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.report.document import Document, KindOfReport, Ratio, Row
from benchmarks.report.table import tables
from benchmarks.roofline import Roofline
from models import command_line
from models.cli import output
from models.durable import write_whole
from models.errors import ModelError
from serve.errors import ServeError

REFUSED = command_line.REFUSED
REFUSABLE = (ModelError, ServeError, ValueError, OSError, RuntimeError)
_WIDTH = 140  # of tables that go into a file


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add --out."""
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="also write KIND.json, .html and .png there; earlier ones get a name with their time",
    )


@contextmanager
def refusals() -> Iterator[None]:
    """End the command with a message and the exit code 2 where a user can put it right."""
    try:
        yield
    except REFUSABLE as error:
        command_line.complain(command_line.words_of(error))
        raise SystemExit(REFUSED) from None


def document_of(
    kind: KindOfReport,
    options: argparse.Namespace,
    *,
    rows: Sequence[Row],
    settings: Mapping[str, Any],
    notes: Sequence[str],
    roofline: Roofline | None = None,
    ratios: Sequence[Ratio] = (),
) -> Document:
    """The report of a run that has just ended on this machine.

    Args:
        kind: the command.
        options: of its command line, with ``command_line`` as it was typed.
        rows, settings, notes, roofline, ratios: as ``Document`` has them.
    """
    return Document(
        kind=kind,
        made_at=machine.now_utc(),
        command=machine.command_line(options.command_line),
        machine=machine.describe(),
        roofline=roofline,
        settings=settings,
        rows=rows,
        ratios=ratios,
        notes=notes,
    )


def deliver(document: Document, options: argparse.Namespace) -> int:
    """Print and write it; returns the exit code."""
    console = output.console(stderr=options.json)
    if not console.is_terminal:
        console.width = _WIDTH
    if not options.json:
        for table in tables(document):
            console.print(table)
    for note in document.notes:
        console.print(f"note: {note}", style="yellow", highlight=False, soft_wrap=True)
    try:
        if options.out is not None:
            for path in write(document, options.out):
                console.print(f"written: {path}", markup=False, highlight=False, soft_wrap=True)
    finally:
        print(document.to_json(), flush=True)  # what was measured is not lost with a full disk
    return 0


def check(options: argparse.Namespace) -> None:
    """Check, before anything is measured, that --out can be written and drawn.

    Raises:
        OSError: the folder cannot be made or written.
        RuntimeError: matplotlib cannot be imported.
    """
    if options.out is None:
        return
    # Drawing needs matplotlib, which no other part needs.
    from benchmarks.report import plots  # noqa: PLC0415

    plots.check()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=options.out):
        pass


def set_aside(kind: KindOfReport, options: argparse.Namespace) -> None:
    """Give an earlier report in --out a name of its own, by when it was written.

    Raises:
        OSError: it cannot be renamed.
    """
    if options.out is None:
        return
    for suffix in (".json", ".html", ".png"):
        path = (options.out / kind).with_suffix(suffix)
        if path.is_file():
            at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            path.rename(path.with_stem(f"{kind}-{at:%Y%m%dT%H%M%S.%fZ}"))


def keep(document: Document, options: argparse.Namespace) -> None:
    """Write the JSON of a run that goes on to --out, so that nothing measured is lost.

    Raises:
        OSError: it cannot be written.
    """
    if options.out is not None:
        write_whole(_json_path(document, options.out), document.to_json().encode() + b"\n")


def write(document: Document, folder: Path) -> Iterator[Path]:
    """The files of a report, each named once it is written; the JSON before anything is drawn.

    Raises:
        OSError: they cannot be written.
        RuntimeError: the charts cannot be drawn; the JSON is there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = _json_path(document, folder)
    write_whole(path, document.to_json().encode() + b"\n")
    yield path
    for suffix, content in _drawn(document, path).items():
        write_whole(path.with_suffix(suffix), content)
        yield path.with_suffix(suffix)


def _drawn(document: Document, path: Path) -> dict[str, bytes]:
    from benchmarks.report import html, plots  # noqa: PLC0415 - as in `check`

    try:
        page = html.page(document, plots.draw(document)).encode()
        return {".html": page, ".png": plots.overview(document)}
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise RuntimeError(
            f"the report is in {path}, and its charts were not drawn: {what}"
        ) from error


def _json_path(document: Document, folder: Path) -> Path:
    return (folder / document.kind).with_suffix(".json")

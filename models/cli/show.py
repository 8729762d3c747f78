"""`show`: one model, and whether it could be served. No weights are loaded, nothing downloaded."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models import folder, policy, reports
from models.cli.options import Commands, command
from models.errors import ManifestError, ModelError
from models.quality import Quality
from models.rules import names
from models.store import resolve
from models.target import ModelTarget
from models.trust.manifest import QUANTISED_FROM, Manifest

EPILOG = """\
exit codes: 0 it could be served; 1 the catalogue knows it, and it is not here or not in order; 2 it
is of no catalogue, and not here or refused: the message says why
"""


def add_commands(commands: Commands) -> None:
    """Add `show`."""
    text = "one model: facts, and whether it could be served"
    show = command(commands, "show", text=text, run=_show, epilog=EPILOG)
    show.add_argument("name", metavar="NAME", help="alias, repository or folder")


def identity(path: Path) -> dict[str, str | None]:
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
            **identity(artifact.path),
        }
        skipped = policy.passed_over(artifact.path)
        facts |= {"passed_over": skipped} if skipped else {}
        manifest = Manifest.find(artifact.path)
        if manifest is not None and manifest.quality is not None:
            facts["measured"] = manifest.quality.to_json()
        kept = _append_only(artifact.path)
        facts |= {} if kept is None else {"append_only": kept}
        report = reports.summary(options.data_dir, artifact.name, facts["digest"])
        facts |= {} if report is None else {"quality": report}
    if options.json:
        print(json.dumps(facts, indent=2))
        return int(problem is not None)
    if "append_only" in facts:
        facts["append_only"] = facts["append_only"]["line"]
    if "measured" in facts:
        facts["measured"] = Quality.from_json(facts["measured"]).line
    if "quality" in facts:
        facts["quality"] = reports.in_words(facts["quality"])
    for key, value in facts.items():
        if value is not None and key != "problem":
            print(f"{key.replace('_', ' '):>16}  {_shown(value)}")
    if problem is not None:
        print(f"\n{names.printable_lines(problem)}")
    return int(problem is not None)


def _append_only(path: Path) -> dict[str, Any] | None:
    """Whether each next prompt of a conversation begins with the one before; None if not known.

    That is the server's rendering, so it is the server's code that tells: the one place where
    `models` asks above itself, and goes without where it cannot.
    """
    try:
        from serve.pipeline.prefix.folders import append_only_of  # noqa: PLC0415
    except ImportError:
        return None
    return append_only_of(path)


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else names.printable(str(value))

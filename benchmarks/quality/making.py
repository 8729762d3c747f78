"""Time and memory of a quantisation, out of what `python -m quantize --json` printed."""

from __future__ import annotations

from pathlib import Path

from benchmarks import json_lines
from benchmarks.quality.report import Making
from models.trust.manifest import Manifest


def read_making(path: Path, folder: Path) -> Making:
    """Time and memory of the run that made this folder.

    Args:
        path: of the printed lines; the last one is the event ``done``.
        folder: that was made, with its manifest.

    Raises:
        ValueError: the file cannot be read, or tells of no run, or of one that made something else.
        ManifestError: the folder has no manifest to compare with.
    """
    match json_lines.last(path):
        case {
            "event": "done",
            "digest": digest,
            "report": {"seconds": seconds, "peak_memory_bytes": peak},
        }:
            pass
        case _:
            raise ValueError(f"{path}: its last line is not of a model that was made")
    own = Manifest.read(folder).digest
    if digest != own:
        raise ValueError(f"{path} is of {digest}, and {folder} is {own}")
    return Making(seconds=float(seconds), peak_memory_bytes=int(peak))

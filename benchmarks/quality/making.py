"""Time and memory of a quantisation, out of what `python -m quantize --json` printed."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.quality.report import Making
from models.trust.manifest import Manifest


def read_making(path: Path, folder: Path) -> Making:
    """Time and memory of the run that made this folder.

    Args:
        path: of the printed lines; the last one is the event ``done``.
        folder: that was made, with its manifest.

    Raises:
        ValueError: the file tells of no run, or of one that made something else.
        ManifestError: the folder has no manifest to compare with.
        OSError: the file cannot be read.
    """
    lines = path.read_text("utf-8").splitlines()
    event = json.loads(lines[-1]) if lines else None
    match event:
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

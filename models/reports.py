"""Quality reports of quantised models, as `show` finds them: ``<data_dir>/reports/<name>.json``.

They are beside the store and not in the model's folder: a file more there would change what the
folder's manifest and signature stand for. What is in one is benchmarks/quality/report.py's matter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models import home, plain_file

FOLDER = "reports"
MAX_BYTES = 64 << 20


def path_of(data_dir: Path, name: str) -> Path:
    """The path of the report of a model, there or not. ``name`` is the one in the store."""
    return home.expanded(data_dir) / FOLDER / f"{name}.json"


def summary(data_dir: Path, name: str, digest: str | None) -> dict[str, Any] | None:
    """The report's headlines; None where there is none that can be read.

    Args:
        data_dir: the store's.
        name: of the quantised model.
        digest: of the folder as it is now; a report of other bytes says so.
    """
    path = path_of(data_dir, name)
    try:
        report = json.loads(plain_file.read(path, MAX_BYTES, may_be_link=True))
        overall, quantised = report["agreement"]["all"], report["quantised"]
        return {
            "path": str(path),
            "of_these_bytes": digest is not None and quantised["digest"] == digest,
            "engine": report["engine"],
            "top1": overall["top1"],
            "kl_mean": _inner(overall, "kl", "mean"),
            "perplexity_ratio": _inner(overall, "ratio", "value"),
            "bits_per_weight": quantised["bits_per_weight"],
            "failed_gates": list(report["failed"]),
        }
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def in_words(facts: Mapping[str, Any]) -> str:
    """One line for people."""
    parts = [f"top-1 {facts['top1']:.2%}"]
    if facts["kl_mean"] is not None:
        parts.append(f"KL {facts['kl_mean']:.2e}")
    if facts["perplexity_ratio"] is not None:
        parts.append(f"perplexity x {facts['perplexity_ratio']:.4f}")
    parts.append(f"{facts['bits_per_weight']:.2f} bits per weight")
    text = ", ".join(parts) + f" ({facts['engine']} engine)"
    if facts["failed_gates"]:
        text += f"; FAILED: {'; '.join(facts['failed_gates'])}"
    return text if facts["of_these_bytes"] else f"{text}; of other bytes than are here now"


def _inner(value: Mapping[str, Any], *keys: str) -> Any:
    inner: Any = value
    for key in keys:
        if inner is None:
            return None
        inner = inner[key]
    return inner

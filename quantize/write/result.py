"""The result of quantising, and what every way of it does with the source before and after."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import folder as model_folder
from models.errors import ManifestMissingError
from models.progress import Progress
from models.quality import Quality
from models.rules import strict_json
from models.trust import pinned
from models.trust.manifest import NEVER_LISTED, QUANTISED_FROM, Manifest
from models.trust.manifest_files import plain_files
from models.trust.verified_cache import Stamps
from models.trust.verify import Mode, verify
from quantize.ensure import EDITIONS, RECIPE
from quantize.errors import OccupiedError
from quantize.plan.scheme_plan import SchemePlan
from quantize.write.row_chunks import LayerError

_OWN = (QUANTISED_FROM, RECIPE)
MAKE_ROOM = (
    "Make room, or name a folder on another disk with --out; the next run goes on with the shards "
    "that are whole."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantReport:
    """The report of a run: what it made, and what it took.

    Attributes:
        digest: of the result's manifest.
        source_digest: of the model that it was made from.
        num_resumed_bytes: of the source, done by earlier runs.
        seconds: of this run alone.
        peak_memory_bytes: of this process (VmHWM).
    """

    plan: SchemePlan
    digest: str
    source_digest: str
    layers: tuple[LayerError, ...]
    num_resumed_bytes: int
    seconds: float
    peak_memory_bytes: int

    @property
    def relative_mse(self) -> float:
        """Squared error over all quantised weights, relative to their own squares."""
        energy = sum(layer.energy for layer in self.layers)
        return sum(layer.error for layer in self.layers) / energy if energy else 0.0

    @property
    def rtn_relative_mse(self) -> float:
        """The same of plain round-to-nearest."""
        energy = sum(layer.energy for layer in self.layers)
        return sum(layer.rtn_error for layer in self.layers) / energy if energy else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantisedModel:
    """A quantised model.

    Attributes:
        path: its folder.
        report: None where it was here already.
        quality: what it lost; None where that is not known.
    """

    path: Path
    digest: str
    report: QuantReport | None
    quality: Quality | None = None


def verified(source: Path, data_dir: Path, progress: Progress) -> Manifest:
    """The manifest of the source, once every byte agrees; hashed where it has none.

    Raises:
        ModelError: it is damaged, or another than models.lock pins it to.
    """
    try:
        manifest = pinned.manifest_of(source, pinned.expected(source, data_dir))
    except ManifestMissingError:
        total = sum(num_bytes for _, num_bytes in plain_files(source))
        progress.phase("verify", total)
        return Manifest.build(source, progress=progress.advance)
    stamps = Stamps(data_dir)
    verify(source, Mode.QUICK, manifest=manifest, stamps=stamps, meter=progress).require_ok()
    return manifest


def config_of(source: Path) -> dict[str, Any]:
    """The source's config.json."""
    document: dict[str, Any] = strict_json.read(source / model_folder.CONFIG, max_bytes=4 << 20)
    return document


def recipe(plan: SchemePlan) -> str:
    """Scheme, method and settings: what is equal where the same was made."""
    settings = json.dumps(plan.config["quantization_config"], sort_keys=True)
    scheme = f"{plan.scheme}{EDITIONS.get(plan.scheme, '')}"
    return f"{scheme} {plan.method} {hashlib.sha256(settings.encode()).hexdigest()[:12]}"


def present(target: Path, tools: Mapping[str, str], progress: Progress) -> Manifest | None:
    """The manifest of the same result, made before. Whether it is intact, others ask.

    Args:
        target: where it would be.
        tools: of the manifest that would be written.
        progress: gets a notice where something is there whose place may be taken.

    Raises:
        OccupiedError: another model is there.
    """
    if not target.exists():
        return None
    manifest = Manifest.find(target)
    if manifest is not None and all(manifest.tools.get(key) == tools[key] for key in _OWN):
        return manifest
    made_from = None if manifest is None else manifest.tools.get(QUANTISED_FROM)
    if made_from not in (None, tools[QUANTISED_FROM]):
        progress.notice(f"{target.name} was made from {made_from}: made anew")
        return None
    raise OccupiedError(
        f"{target} is there and was not made in this way from this model. Name another "
        "with --out, or give --replace."
    )


def put_texts(source: Path, tree: Path, config: Mapping[str, Any]) -> None:
    """Everything but the weights: copied, and ``config`` as the configuration."""
    for path, _ in plain_files(source):
        is_weights = path.endswith(".safetensors") or path == model_folder.INDEX
        if not is_weights and path not in NEVER_LISTED and path != model_folder.CONFIG:
            target = tree / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / path, target)
    text = json.dumps(dict(config), indent=2, ensure_ascii=False) + "\n"
    (tree / model_folder.CONFIG).write_bytes(text.encode())

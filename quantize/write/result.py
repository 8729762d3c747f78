"""What every way of quantising does with the source before, and with the result after."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models import folder as model_folder
from models.errors import ManifestMissingError
from models.progress import Progress
from models.rules import strict_json
from models.trust.manifest import NEVER_LISTED, QUANTISED_FROM, Manifest
from models.trust.manifest_files import plain_files
from models.trust.verified_cache import Stamps
from models.trust.verify import Mode, verify
from quantize.ensure import EDITIONS, RECIPE
from quantize.errors import OccupiedError
from quantize.protocol import QuantPlan

_OWN = (QUANTISED_FROM, RECIPE)
MAKE_ROOM = (
    "Make room, or name a folder on another disk with --out; the next run goes on with the shards "
    "that are whole."
)


def verified(source: Path, data_dir: Path, progress: Progress) -> Manifest:
    """What the source is, once every byte of it agrees; hashed where it has no manifest.

    Raises:
        ModelError: it is damaged.
    """
    try:
        manifest = Manifest.read(source)
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


def recipe(plan: QuantPlan) -> str:
    """Scheme, method and settings: what is equal where the same was made."""
    settings = json.dumps(plan.config["quantization_config"], sort_keys=True)
    scheme = f"{plan.scheme}{EDITIONS.get(plan.scheme, '')}"
    return f"{scheme} {plan.method} {hashlib.sha256(settings.encode()).hexdigest()[:12]}"


def present(target: Path, tools: Mapping[str, str], progress: Progress) -> Manifest | None:
    """The manifest of the same result, made before. Whether it is intact, others ask.

    Args:
        target: where it would be.
        tools: of the manifest that would be written.
        progress: told where something is there whose place may be taken.

    Raises:
        OccupiedError: another model is there.
    """
    if not target.exists():
        return None
    found = Manifest.find(target)
    if found is not None and all(found.tools.get(key) == tools[key] for key in _OWN):
        return found
    made_from = None if found is None else found.tools.get(QUANTISED_FROM)
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

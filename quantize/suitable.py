"""A full model that can be quantised: its tensors, and its configuration as they settle it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models import stored_config
from models.memory.plain_models import is_plain
from quantize.plan import planning
from quantize.write import result, source
from quantize.write.source import SourceTensor


def model_of(folder: Path) -> tuple[Sequence[SourceTensor], Mapping[str, Any]]:
    """The tensors and the settled config.json of a folder that an engine would serve as well.

    A quantised copy of a model that no engine serves would be of no use to anyone.

    Raises:
        UnsuitableModelError: it is quantised already, or of experts.
        ModelRefusedError: what is stored is not what config.json describes.
    """
    config = result.config_of(folder)
    planning.check_suitable(config)
    stored = stored_config.settle(folder, config)
    if not is_plain(stored.config, stored.tensors):
        from quantize import described_model  # noqa: PLC0415 - transformers, 2 s

        described_model.check_folder(folder, stored.config, stored.tensors)
    return source.of_headers(stored.tensors), stored.config

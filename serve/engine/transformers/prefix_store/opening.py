"""The store of saved prefixes that an engine's settings ask for."""

from __future__ import annotations

import logging

import torch

from serve.engine.settings import EngineSettings
from serve.engine.transformers.kv_cache import KVCache
from serve.engine.transformers.prefix_store.identity import identity_of
from serve.engine.transformers.prefix_store.store import PrefixStore
from serve.engine.transformers.prefix_store.store_secret import open_secret
from serve.errors import StartupError

log = logging.getLogger(__name__)


def prefix_store_of(
    settings: EngineSettings, dtype: str, cache: KVCache, device: torch.device
) -> PrefixStore | None:
    """The store for blocks of this cache; None where none is asked for.

    Args:
        dtype: of weights and arithmetic, in words.

    Raises:
        StartupError: the folder or the key cannot be used, or nothing tells which model this is.
    """
    wanted = settings.transformers
    if wanted.prefix_cache_dir is None:
        return None
    if settings.model_digest is None:
        raise StartupError("--prefix-cache-dir needs a model whose digest is known.")
    if wanted.prefix_cache_key_file is None:
        log.info(
            "who can read the folder of the saved prefix cache can read what is in it",
            extra={"folder": str(wanted.prefix_cache_dir), "or": "--prefix-cache-key-file"},
        )
    return PrefixStore(
        folder=wanted.prefix_cache_dir,
        secret=open_secret(wanted.prefix_cache_dir, wanted.prefix_cache_key_file),
        identity=identity_of(settings.model_digest, dtype, cache, device),
        max_bytes=wanted.prefix_cache_file_bytes,
    )

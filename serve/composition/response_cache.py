"""The response cache from the settings; nothing where they ask for none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

from models import adapter
from models.errors import ModelError
from models.trust.hashing import sha256_files
from serve.composition.stores import Stores
from serve.config import Config
from serve.config_sections.capacity import CapacitySection
from serve.config_sections.served_model import ServedModelSection
from serve.config_sections.transformers import TransformersSection
from serve.config_sections.vllm import VllmSection
from serve.errors import StartupError
from serve.governance.canonical_bytes import canonical
from serve.governance.sealing import SealingKey, read_sealing_key
from serve.observe.metrics import Metrics
from serve.service.response_cache.answers import ResponseCache
from serve.service.response_cache.memory_store import MemoryStore
from serve.service.response_cache.names import AnswerNames
from serve.service.response_cache.sealed_store import SealedStore

log = logging.getLogger(__name__)

MAX_ENTRY_BYTES: Final = 1 << 20
"""Of one answer; and no more than a sixteenth of all that is kept."""
_ANSWERING: Final = (ServedModelSection, CapacitySection, TransformersSection, VllmSection)
"""Sections whose settings may change the tokens of an answer."""
_NOT_ANSWERING: Final = frozenset(
    {
        *("model", "served_model_name", "lora", "measure", "min_quality"),
        *("max_num_queued_reqs", "max_num_queued_tokens", "max_request_s", "max_token_hold_ms"),
        *("engine_stall_timeout", "max_loras", "max_lora_rank"),
        *("prefix_cache_dir", "prefix_cache_file_bytes", "prefix_cache_key_file"),
    }
)
"""Settings of these that change none: how long is waited, what is kept, and names. The digests of
the weights and of the adapters stand for what ``model`` and ``lora`` name."""


@asynccontextmanager
async def open_response_cache(
    config: Config, stores: Stores, metrics: Metrics
) -> AsyncIterator[ResponseCache | None]:
    """Keep answers while the block is open; None where none are kept.

    Raises:
        StartupError: the key file or an adapter cannot be read.
    """
    if config.response_cache == "off":
        yield None
        return
    cache = await _cache_of(config, stores)
    metrics.attach_response_cache(cache.figures)
    log.info("answers are kept", extra={"where": config.response_cache})
    try:
        yield cache
    finally:
        await cache.close()


def settings_digest(config: Config) -> bytes:
    """A digest of the settings that may change the tokens of an answer."""
    names = {name for section in _ANSWERING for name in section.model_fields} - _NOT_ANSWERING
    told = {name: str(getattr(config, name)) for name in sorted(names)}
    return sha256(canonical(told)).digest()


async def _cache_of(config: Config, stores: Stores) -> ResponseCache:
    settings = settings_digest(config)
    max_bytes, max_entries = config.response_cache_bytes, config.response_cache_entries
    max_age_s = config.response_cache_max_age_s
    if config.response_cache == "shared":
        key = _key_of(config)
        # Only where it is asked for: it imports a library.
        from serve.storage.answers.valkey_answers import ValkeyAnswers  # noqa: PLC0415

        answers = ValkeyAnswers(
            stores.cache_url or "",
            max_bytes=max_bytes,
            max_entries=max_entries,
            max_age_s=max_age_s,
        )
        adapters = await asyncio.to_thread(adapter_digests, config.adapters)
        names = AnswerNames(key=key.derived(b"names"), settings=settings, adapters=adapters)
        store: SealedStore | MemoryStore = SealedStore(answers, key)
    else:
        # Weights and adapters stay as they are while the process runs.
        names = AnswerNames(settings=settings)
        store = MemoryStore(max_bytes=max_bytes, max_entries=max_entries, max_age_s=max_age_s)
    return ResponseCache(
        store,
        names,
        max_age_s=max_age_s,
        max_entry_bytes=min(MAX_ENTRY_BYTES, max_bytes // 16),
    )


def _key_of(config: Config) -> SealingKey:
    if config.response_cache_key_file is None:
        raise StartupError("--response-cache shared needs --response-cache-key-file.")
    return read_sealing_key(config.response_cache_key_file, "--response-cache-key-file")


def adapter_digests(adapters: Mapping[str, Path]) -> dict[str, str]:
    """A digest of the files of each adapter, by its name. Blocks.

    Raises:
        StartupError: one cannot be read.
    """
    digests = {}
    for name, folder in adapters.items():
        files = [folder / adapter.CONFIG, folder / adapter.WEIGHTS]
        try:
            hashes = sha256_files(files)
        except OSError as error:
            raise StartupError(f"--lora {name}: {error.strerror or error}.") from None
        except ModelError as error:  # somebody writes to it meanwhile
            raise StartupError(f"--lora {name}: {error}") from None
        digests[name] = sha256(canonical(hashes)).hexdigest()
    return digests

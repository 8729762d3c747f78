"""Bring up what stands behind the API from the settings: weights, engine, pipeline.

::

    obtain ─ claim ─┬─ prove   the files, hashed        (a thread)
                    └─ build   the engine, loading      (a thread) ── pipeline ── ready

With ``bootstrap.py`` the composition root: this part runs while the server answers its probes.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from models.refs import Artifact
from serve.config import Config
from serve.engine import registry
from serve.engine.configured import settings_of
from serve.engine.grammars.checking import GrammarChecker
from serve.engine.protocol import Engine, Progress
from serve.engine.settings import FakeSettings
from serve.engine.supervisor import Supervisor
from serve.errors import StartupError
from serve.observe import logs
from serve.observe.metrics import Metrics
from serve.observe.startup import Startup
from serve.pipeline.admission import Admission
from serve.pipeline.cache_salt import CacheSalts
from serve.pipeline.generate import Pipeline
from serve.pipeline.model_dialects.loading import load_dialect
from serve.pipeline.render import Renderer
from serve.pipeline.tokenizer import ModelTokenizer
from serve.provenance import proof as proving
from serve.provenance import quality, wanted_weights
from serve.provenance.proof import Claim, Proof
from serve.provenance.quality import Standing
from serve.service.directory import Directory, Weights

GC_THRESHOLDS = (20_000, 20, 20)
"""Python's own 700 new objects are a few tokens where a thousand streams are open: the collector
took 3 % of the server's time (docs/lab-notes.md). Requests leave few cycles behind.
"""


class RefusedLoadError(StartupError):
    """Weights are refused while a thread loads them: nothing but the process's end ends that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The parts that ``assemble`` has brought up. ``reason`` says why this engine was chosen."""

    artifact: Artifact
    proof: Proof
    standing: Standing
    pipeline: Pipeline
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """A model that is about to be served.

    Attributes:
        names: under which it is.
        digest: of its files, as they were proven; None where it is not known.
        scheme: how its weights are stored.
        adapters: paths of the adapters, by their names.
    """

    names: tuple[str, ...]
    digest: str | None
    scheme: str
    engine: str
    dtype: str
    adapters: Mapping[str, str]


OnBrought = Callable[[Brought], Awaitable[None]]
"""Awaited before a model is served; what it raises ends the start."""


async def assemble(
    config: Config,
    environment: Mapping[str, str],
    *,
    directory: Directory,
    startup: Startup,
    metrics: Metrics,
    progress: Progress,
    on_brought: OnBrought | None = None,
) -> Loaded:
    """Fetch and prove the weights, bring the engine up, and open the gate.

    Raises:
        StartupError: one of these failed.
        RefusedLoadError: so did the proof, and the engine may be loading for minutes still.
    """
    try:
        # Whatever is wrong with its folder or key is told before gigabytes are read.
        salts = await asyncio.to_thread(_salts, config)
        artifact = await wanted_weights.obtain(config, environment, progress)
        claim = await asyncio.to_thread(
            proving.claim,
            artifact,
            config.data_dir,
            how=config.verify,
            trusted_keys=config.signature_keys,
        )
        _check_prefix_store(config, claim)
        standing = quality.standing(artifact, claim.manifest, config.min_quality)
        proof, (engine, reason) = await _beside(
            asyncio.to_thread(proving.prove, claim, config.data_dir, progress),
            asyncio.to_thread(_build_engine, config, claim, progress),
        )
        pipeline = await _pipeline(config, artifact, engine, salts)
        await asyncio.to_thread(proving.settle, artifact)
        if on_brought is not None:
            await on_brought(_brought(config, proof, artifact, engine))
    except StartupError as error:
        startup.fail(str(error))
        raise
    logs.set_model_digest(proof.digest)
    metrics.set_model(engine.info, config.model_names[0])
    metrics.attach_engine(engine.load)
    metrics.attach_admission(lambda: pipeline.admission.num_admitted)
    directory.publish(
        pipeline,
        Weights(digest=proof.digest, scheme=artifact.scheme, quality=standing.quality),
    )
    # What is loaded stays: the collector need not walk it again with every request.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    startup.complete()
    return Loaded(
        artifact=artifact, proof=proof, standing=standing, pipeline=pipeline, reason=reason
    )


def _brought(config: Config, proof: Proof, artifact: Artifact, engine: Engine) -> Brought:
    return Brought(
        names=config.model_names,
        digest=proof.digest,
        scheme=str(artifact.scheme),
        engine=engine.info.name,
        dtype=engine.info.dtype,
        adapters={name: str(path) for name, path in config.adapters.items()},
    )


async def _pipeline(
    config: Config, artifact: Artifact, engine: Engine, salts: CacheSalts
) -> Pipeline:
    """The way of every request through text, engine and text. Raises StartupError."""
    renderer = await asyncio.to_thread(Renderer.load, artifact.path, engine.info.vocab_size)
    dialect = await asyncio.to_thread(
        load_dialect,
        renderer.tokenizer,
        renderer.template,
        engine.info.eos_token_ids,
        config.tool_dialect,
    )
    return Pipeline(
        engine=engine,
        renderer=renderer,
        admission=Admission(
            max_running=engine.info.max_num_seqs, max_waiting=config.max_num_queued_reqs
        ),
        salts=salts,
        dialect=dialect,
        checker=_checker(engine, artifact),
    )


def _checker(engine: Engine, artifact: Artifact) -> GrammarChecker | None:
    """The checker of grammars; None where the engine takes none."""
    info = engine.info
    if "grammar" not in info.capabilities:
        return None
    return GrammarChecker(
        artifact.path, vocab_size=info.vocab_size, eos_token_ids=info.eos_token_ids
    )


async def _beside(
    proving_it: Awaitable[Proof], building_it: Awaitable[tuple[Engine, str]]
) -> tuple[Proof, tuple[Engine, str]]:
    """Both results. An engine that has loaded weights which are not proven is closed.

    Raises:
        RefusedLoadError: they are refused before they are loaded.
        StartupError: otherwise; what is wrong with the files goes before what an engine says.
    """
    building = asyncio.ensure_future(building_it)
    try:
        proof = await proving_it
    except asyncio.CancelledError:
        building.cancel()
        raise
    except StartupError as refusal:
        if not building.done():
            raise RefusedLoadError(str(refusal)) from None
        if building.exception() is None:
            await building.result()[0].close()
        raise
    return proof, await building


def _check_prefix_store(config: Config, claim: Claim) -> None:
    """Refuse to keep the prefix cache of a model that nothing tells from others."""
    if config.prefix_cache_dir is not None and claim.manifest is None:
        raise StartupError(
            "--prefix-cache-dir tells models apart by the digest in their manifest, and this model "
            "has none: bring it into the store (`python -m models pull`), or leave it out."
        )


def _salts(config: Config) -> CacheSalts:
    """The salts of the prefix cache: the same in each run where the cache is kept. Blocks."""
    if config.prefix_cache_dir is None:
        return CacheSalts()
    from serve.engine.transformers.prefix_store.store_secret import (  # noqa: PLC0415 - only where it is asked for
        open_secret,
    )

    secret = open_secret(config.prefix_cache_dir, config.prefix_cache_key_file)
    return CacheSalts(secret.cache_salts_key)


def _build_engine(config: Config, claim: Claim, progress: Progress) -> tuple[Engine, str]:
    """The engine, and why it was chosen. Blocks."""
    artifact = claim.artifact
    name, reason = wanted_weights.choose_engine(config, artifact.scheme)
    settings = settings_of(
        config,
        model_digest=None if claim.manifest is None else claim.manifest.digest,
        fake=_fake_settings(config, artifact) if name == "fake" else FakeSettings(),
    )
    engine = registry.build(name, artifact.path, settings, progress)
    if name not in registry.SUPERVISED:
        return engine, reason

    if name != "vllm":
        # As large as before: what was promised to clients at the start holds for the next one.
        settings = replace(
            settings,
            max_model_len=engine.info.max_model_len,
            kv_cache_tokens=engine.info.kv_cache_tokens,
        )
    supervisor = Supervisor(
        engine,
        lambda: registry.build(name, artifact.path, settings, lambda *_: None),
        salvage=lambda dead: registry.salvage(dead, settings),
    )
    return supervisor, reason


def _fake_settings(config: Config, artifact: Artifact) -> FakeSettings:
    """The fake engine speaks the model's own vocabulary, in tokens that are text by themselves."""
    tokenizer = ModelTokenizer.load(artifact.path)
    texts = (tokenizer.decode([token_id]) for token_id in range(tokenizer.vocab_size))
    return FakeSettings(
        tokens_per_s=config.fake_tokens_per_s,
        vocab_size=tokenizer.vocab_size,
        avoided_token_ids=frozenset(
            token_id
            for token_id, text in enumerate(texts)
            if not text or "\N{REPLACEMENT CHARACTER}" in text
        ),
    )

"""A full model into a quantised one: `python -m quantize`, step by step.

::

    verify     every file of the source against its manifest, or hashed where it has none
    plan       quantize/plan/planning.py; is there room on the disk and in memory
    quantise   shard by shard; those that an earlier run left whole are taken over
    check      the result passes the rules for models
    measure    what it lost, beside the source: quantize/measuring
    commit     its manifest, then one rename: before it there is no model of this name
"""

from __future__ import annotations

import errno
import resource
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from models import disk_space, store
from models import folder as model_folder
from models.memory import host_memory
from models.progress import Progress, size
from models.refs import Artifact
from models.staging import Staging, staged
from models.trust.manifest import QUANTISED_FROM, Manifest
from quantize import registry, suitable
from quantize.ensure import RECIPE
from quantize.errors import QuantizeError
from quantize.gptq.calibration_source import memory_bytes, source_mark
from quantize.measuring.quality_step import QualityStep
from quantize.measuring.texts import Text
from quantize.plan import layout, planning, tables
from quantize.plan.scheme_plan import QuantOptions, SchemePlan
from quantize.protocol import Method, Quantizer
from quantize.write import result, source
from quantize.write.journal import Journal, fingerprint
from quantize.write.result import QuantisedModel, QuantReport
from quantize.write.row_chunks import LayerError, Worker
from quantize.write.writer import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantisation:
    """One run.

    Attributes:
        source: the full model; models/policy.py has let it pass.
        options: how.
        target: the folder that is made.
        data_dir: where stamps and reports lie.
        progress: shows phases, bytes and notices.
        shard_bytes: of a file of weights at most.
        is_replacing: take the place of another model.
        texts: to measure with; none does not measure.
        calibrate: what the layers are calibrated on: a file, or ``self``; None takes no text.
    """

    source: Artifact
    options: QuantOptions
    target: Path
    data_dir: Path
    progress: Progress
    shard_bytes: int = layout.SHARD_BYTES
    is_replacing: bool = False
    texts: Sequence[Text] = ()
    calibrate: str | None = None

    def plan(self) -> tuple[SchemePlan, Quantizer]:
        """The plan, and the quantizer that carries it out; reads no weight.

        Raises:
            UnsuitableModelError, OptionError: it cannot be done.
            ModelRefusedError: the weights are not those of the model that config.json describes.
        """
        tensors, config = suitable.model_of(self.source.path)
        plan, quantizer = planning.plan(tensors, config, self.options)
        if self.calibrate is not None:
            plan = replace(plan, peak_memory_bytes=memory_bytes(plan, self.calibrate))
        return plan, quantizer

    def run(self) -> QuantisedModel:
        """Do it, or what is left of it.

        Raises:
            QuantizeError: as quantize/errors.py has them.
            ModelError: the source is damaged, the disk is full, or another process is at it.
        """
        plan, quantizer = self.plan()
        manifest = result.verified(self.source.path, self.data_dir, self.progress)
        tools = self._tools(plan, manifest.digest)
        if not self.is_replacing:
            present = result.present(self.target, tools, self.progress)
            if present is not None:
                return self._present(present, plan, quantizer)
        self._check_memory(plan)
        try:
            with staged(self.target.parent, self.target.name) as staging:
                return self._make(staging, plan, quantizer, manifest)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise disk_space.disk_full(self.target.parent, result.MAKE_ROOM) from None
            raise QuantizeError(
                f"{error.filename or self.target}: {error.strerror or error}"
            ) from None

    def _present(
        self, manifest: Manifest, plan: SchemePlan, quantizer: Quantizer
    ) -> QuantisedModel:
        """The result that an earlier run made, measured now where it was not."""
        if self.texts:
            step = self._quality_step(plan, quantizer)
            manifest = step.measure_present(self.target, manifest, self.progress)
        return QuantisedModel(
            path=self.target, digest=manifest.digest, report=None, quality=manifest.quality
        )

    def _make(
        self, staging: Staging, plan: SchemePlan, quantizer: Quantizer, manifest: Manifest
    ) -> QuantisedModel:
        begun_s = time.monotonic()
        shards = layout.shards_of(plan.outputs, self.shard_bytes)
        journal = Journal(staging.parts, fingerprint(manifest.digest, plan, shards))
        if not journal.load(staging.tree):
            self.progress.notice("what an earlier run left is of something else; begun anew")
            for folder in (staging.tree, staging.parts):
                shutil.rmtree(folder)
                folder.mkdir()
        missing = sum(s.num_bytes for s in shards if s.name not in journal.done)
        disk_space.check(staging.folder, missing, result.MAKE_ROOM)
        resumed = self._write(staging, journal, quantizer, shards, plan)
        self.progress.phase("check")
        result.put_texts(self.source.path, staging.tree, plan.config)
        if len(shards) > 1:
            (staging.tree / model_folder.INDEX).write_bytes(layout.index_of(shards))
        store.load_folder(staging.tree, name=self.target.name)
        tools = self._tools(plan, manifest.digest)
        layers = _by_name(journal)
        if self.calibrate is not None:
            text, rounded = self._calibrate(staging, journal, plan, quantizer, shards)
            layers |= rounded
            tools |= {"calibrated-on": f"sha256:{text}"}
        written = Manifest.build(
            staging.tree,
            source=manifest.source,
            licence=manifest.licence,
            known={name: done.sha256 for name, done in journal.done.items()},
            tools=tools,
        )
        if self.texts:
            quality = self._quality_step(plan, quantizer).measure(staging.tree, self.progress)
            written = replace(written, quality=quality)
        written.write(staging.tree)
        report = QuantReport(
            plan=plan,
            digest=written.digest,
            source_digest=manifest.digest,
            layers=tuple(layers[linear.name] for linear in plan.layers),
            num_resumed_bytes=resumed,
            seconds=time.monotonic() - begun_s,
            peak_memory_bytes=peak_bytes(),
        )
        self.progress.phase("commit")
        return QuantisedModel(
            path=staging.commit(), digest=written.digest, report=report, quality=written.quality
        )

    def _quality_step(self, plan: SchemePlan, quantizer: Quantizer) -> QualityStep:
        return QualityStep(
            full=self.source.path,
            plan=plan,
            quantizer=quantizer,
            texts=self.texts,
        )

    def _write(
        self,
        staging: Staging,
        journal: Journal,
        quantizer: Quantizer,
        shards: list[layout.Shard],
        plan: SchemePlan,
    ) -> int:
        """All shards that are missing. Returns the source's bytes that need no reading."""
        tensors = source.tensors_of(self.source.path)
        by_name = {tensor.name: tensor for tensor in tensors}
        resumed = sum(
            by_name[name].num_bytes
            for shard in shards
            if shard.name in journal.done
            for name in {output.source for output in shard.outputs}
        )
        if resumed:
            self.progress.notice(f"going on: {size(resumed)} of the source are done")
        self.progress.phase("quantise", plan.source_bytes, done_bytes=resumed)
        plain = None
        if quantizer.method is Method.SEARCH:
            is_tied = tables.is_tied(tensors)
            searched = self.options.scheme_options(is_tied=is_tied)
            plain = registry.quantizer(quantizer.scheme, replace(searched, method=Method.RTN))
        with (
            source.Files(self.source.path, model_folder.weight_files(self.source.path)) as files,
            Writer(
                tensors=by_name,
                files=files,
                worker=Worker(quantizer, plain),
                staging=staging,
                journal=journal,
                progress=self.progress,
            ) as writer,
        ):
            for shard in shards:
                if shard.name not in journal.done:
                    writer.write(shard)
            writer.finish()
            files.check()
        return resumed

    def _calibrate(
        self,
        staging: Staging,
        journal: Journal,
        plan: SchemePlan,
        quantizer: Quantizer,
        shards: list[layout.Shard],
    ) -> tuple[str, dict[str, LayerError]]:
        """Round the layers anew, by a text: its hash. What was whole is not while this runs."""
        from quantize.gptq import samples  # noqa: PLC0415 - transformers, 2 s
        from quantize.gptq.run import Calibration  # noqa: PLC0415

        self.progress.phase("samples")
        text = samples.take(self.source.path, str(self.calibrate))
        self.progress.notice(f"calibrating on {text.tokens.numel():,} tokens of {text.name}")
        journal.forget()
        return text.sha256, Calibration(
            full=self.source.path,
            tree=staging.tree,
            layers=plan.layers,
            quantizer=quantizer,
            shards=shards,
            samples=text,
            progress=self.progress,
        ).run()

    def _tools(self, plan: SchemePlan, source_digest: str) -> dict[str, str]:
        recipe = result.recipe(plan)
        if self.calibrate is not None:
            recipe += f" {source_mark(self.calibrate)}"
        return {QUANTISED_FROM: source_digest, RECIPE: recipe, "torch": torch.__version__}

    def _check_memory(self, plan: SchemePlan) -> None:
        free = host_memory.available_bytes()
        if free is not None and free < plan.peak_memory_bytes:
            raise QuantizeError(
                f"{size(plan.peak_memory_bytes)} of memory are needed and {size(free)} are free. "
                "End other programs first."
            )


def _by_name(journal: Journal) -> dict[str, LayerError]:
    return {layer.name: layer for done in journal.done.values() for layer in done.layers}


def peak_bytes(status: Path = Path("/proc/self/status")) -> int:
    """Resident bytes at most: the kernel's ``VmHWM``, or ``getrusage`` where there is no /proc.

    The first is preferred because the second begins, on Linux, with what the parent had held.
    """
    try:
        for line in status.read_text("ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

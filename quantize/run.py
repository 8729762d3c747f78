"""A full model into a quantised one: `python -m quantize`, step by step.

::

    verify     every file of the source against its manifest, or hashed where it has none
    plan       quantize/plan.py; is there room on the disk and in memory
    quantise   shard by shard; those that an earlier run left whole are taken over
    check      the result passes the rules for models
    commit     its manifest, then one rename: before it there is no model of this name
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models import folder as model_folder
from models import store
from models.errors import DiskFullError, ManifestError, ManifestMissingError
from models.memory import host_memory
from models.progress import Progress, size
from models.refs import Artifact
from models.rules import strict_json
from models.staging import Staging, staged
from models.trust.manifest import NEVER_LISTED, QUANTISED_FROM, Manifest
from models.trust.manifest_files import plain_files
from models.trust.stamps import Stamps
from models.trust.verify import Mode, verify
from quantize import layout, registry, source
from quantize import plan as planning
from quantize.errors import OccupiedError, QuantizeError
from quantize.journal import Journal, fingerprint
from quantize.peak import peak_bytes
from quantize.pieces import Worker
from quantize.plan import Wish
from quantize.protocol import LayerError, Method, Options, Quantizer, QuantPlan, QuantReport
from quantize.writer import Writer

RECIPE = "quantise"
"""Where a manifest's ``tools`` keep how the result was made."""
MARGIN_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A quantised model.

    Attributes:
        path: its folder.
        report: None where it was here already.
    """

    path: Path
    digest: str
    report: QuantReport | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantisation:
    """One run.

    Attributes:
        source: the full model; models/policy.py has let it pass.
        wish: what is asked for.
        target: the folder that is made.
        data_dir: where stamps and reports lie.
        progress: told of everything.
        shard_bytes: of a file of weights at most.
        is_replacing: take the place of another model.
    """

    source: Artifact
    wish: Wish
    target: Path
    data_dir: Path
    progress: Progress
    shard_bytes: int = layout.SHARD_BYTES
    is_replacing: bool = False

    def plan(self) -> tuple[QuantPlan, Quantizer]:
        """What would be done; reads no weight.

        Raises:
            UnsuitableModelError, OptionError: it cannot be done.
        """
        tensors = source.tensors_of(self.source.path)
        return planning.plan(tensors, _config_of(self.source.path), self.wish)

    def run(self) -> Made:
        """Do it, or what is left of it.

        Raises:
            QuantizeError: as quantize/errors.py has them.
            ModelError: the source is damaged, the disk is full, or another process is at it.
        """
        plan, quantizer = self.plan()
        manifest = self._source_manifest()
        here = self._here(plan, manifest.digest)
        if here is not None:
            return Made(path=self.target, digest=here.digest, report=None)
        self._check_memory(plan)
        try:
            with staged(self.target.parent, self.target.name) as staging:
                return self._make(staging, plan, quantizer, manifest)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise _disk_full(self.target.parent) from None
            raise QuantizeError(
                f"{error.filename or self.target}: {error.strerror or error}"
            ) from None

    def _make(
        self, staging: Staging, plan: QuantPlan, quantizer: Quantizer, manifest: Manifest
    ) -> Made:
        begun_s = time.monotonic()
        shards = layout.shards_of(plan.outputs, self.shard_bytes)
        journal = Journal(staging.parts, fingerprint(manifest.digest, plan, shards))
        if not journal.load(staging.tree):
            self.progress.notice("what an earlier run left is of something else; begun anew")
            for folder in (staging.tree, staging.parts):
                shutil.rmtree(folder)
                folder.mkdir()
        _check_room(staging, sum(s.num_bytes for s in shards if s.name not in journal.done))
        resumed = self._write(staging, journal, quantizer, shards, plan)
        self.progress.phase("check")
        self._put_texts(staging.tree, shards, plan)
        store.load_folder(staging.tree, name=self.target.name)
        made = Manifest.build(
            staging.tree,
            source=manifest.source,
            licence=manifest.licence,
            known={name: done.sha256 for name, done in journal.done.items()},
            tools=_tools(plan, manifest.digest),
        )
        made.write(staging.tree)
        report = QuantReport(
            plan=plan,
            digest=made.digest,
            source_digest=manifest.digest,
            layers=_in_order(journal, plan),
            num_resumed_bytes=resumed,
            seconds=time.monotonic() - begun_s,
            peak_memory_bytes=peak_bytes(),
        )
        self.progress.phase("commit")
        return Made(path=staging.commit(), digest=made.digest, report=report)

    def _write(
        self,
        staging: Staging,
        journal: Journal,
        quantizer: Quantizer,
        shards: list[layout.Shard],
        plan: QuantPlan,
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
        if quantizer.method is not Method.RTN:
            options = Options(method=Method.RTN, group_size=quantizer.group_size)
            plain = registry.quantizer(quantizer.scheme, options)
        with (
            source.Files(self.source.path, source.weight_files(self.source.path)) as files,
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

    def _put_texts(self, tree: Path, shards: list[layout.Shard], plan: QuantPlan) -> None:
        """Everything but the weights: copied, and the configuration with what was done."""
        for path, _ in plain_files(self.source.path):
            is_weights = path.endswith(".safetensors") or path == model_folder.INDEX
            if not is_weights and path not in NEVER_LISTED and path != model_folder.CONFIG:
                target = tree / path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.source.path / path, target)
        text = json.dumps(dict(plan.config), indent=2, ensure_ascii=False) + "\n"
        (tree / model_folder.CONFIG).write_bytes(text.encode())
        if len(shards) > 1:
            (tree / model_folder.INDEX).write_bytes(layout.index_of(shards))

    def _source_manifest(self) -> Manifest:
        """What the source is, once every byte of it agrees."""
        path = self.source.path
        try:
            manifest = Manifest.read(path)
        except ManifestMissingError:
            total = sum(num_bytes for _, num_bytes in plain_files(path))
            self.progress.phase("verify", total)
            return Manifest.build(path, progress=self.progress.advance)
        stamps = Stamps(self.data_dir)
        verify(path, Mode.QUICK, manifest=manifest, stamps=stamps, meter=self.progress).require_ok()
        return manifest

    def _here(self, plan: QuantPlan, source_digest: str) -> Manifest | None:
        """The manifest of the same result, made before. Whether it is intact, others ask."""
        if not self.target.exists() or self.is_replacing:
            return None
        try:
            found = Manifest.read(self.target)
        except ManifestError:
            found = None
        wanted = _tools(plan, source_digest)
        if found is not None and all(found.tools.get(key) == wanted[key] for key in _OWN):
            return found
        made_from = None if found is None else found.tools.get(QUANTISED_FROM)
        if made_from not in (None, source_digest):
            self.progress.notice(f"{self.target.name} was made from {made_from}: made anew")
            return None
        raise OccupiedError(
            f"{self.target} is there and was not made in this way from this model. Name another "
            "with --out, or give --replace."
        )

    def _check_memory(self, plan: QuantPlan) -> None:
        free = host_memory.available_bytes()
        if free is not None and free < plan.peak_memory_bytes:
            raise QuantizeError(
                f"{size(plan.peak_memory_bytes)} of memory are needed and {size(free)} are free. "
                "End other programs first."
            )


_OWN = (QUANTISED_FROM, RECIPE)


def _tools(plan: QuantPlan, source_digest: str) -> Mapping[str, str]:
    settings = json.dumps(plan.config["quantization_config"], sort_keys=True)
    recipe = f"{plan.scheme} {plan.method} {_short_hash(settings)}"
    return {QUANTISED_FROM: source_digest, RECIPE: recipe, "torch": torch.__version__}


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _in_order(journal: Journal, plan: QuantPlan) -> tuple[LayerError, ...]:
    found = {layer.name: layer for done in journal.done.values() for layer in done.layers}
    return tuple(found[linear.name] for linear in plan.layers)


def _config_of(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = strict_json.read(path / model_folder.CONFIG, max_bytes=4 << 20)
    return document


def _check_room(staging: Staging, missing: int) -> None:
    if missing + MARGIN_BYTES > shutil.disk_usage(staging.folder).free:
        raise _disk_full(staging.folder, missing + MARGIN_BYTES)


def _disk_full(folder: Path, needed: int | None = None) -> DiskFullError:
    free = shutil.disk_usage(folder).free
    more = f" {size(needed)} are needed." if needed is not None else ""
    return DiskFullError(
        f"the disk of {folder} has {size(free)} free.{more} Make room, or name a folder on another "
        "disk with --out; the next run goes on with the shards that are whole."
    )

"""The step of quantising that measures: what goes into the manifest, and why it may not.

A model that cannot be measured is made all the same: the manifest has no quality then, and the
server says that nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models.memory import host_memory
from models.progress import Progress, size
from models.quality import Better, Quality, TextFigures
from models.refs import QuantScheme
from models.trust.manifest import SIGNATURE, Manifest
from quantize.errors import QuantizeError
from quantize.measuring.texts import Text
from quantize.plan import planning
from quantize.plan.scheme_plan import QuantOptions, SchemePlan
from quantize.protocol import Quantizer
from quantize.write import result, source

BETTER: Mapping[QuantScheme, QuantScheme] = {QuantScheme.INT8: QuantScheme.NONE}
"""The way to store weights that loses less than a scheme; of all others it is int8."""

MEMORY_BYTES = 1_200_000_000
"""The memory of a process that measures, whatever the model: half of it is Python, torch,
transformers and a tokenizer, the rest what goes through the model and a tile of weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A quantisation that is to be measured.

    Attributes:
        full: the folder of the full weights.
        plan: how; ``quantizer`` carries it out.
        texts: that both read.
    """

    full: Path
    plan: SchemePlan
    quantizer: Quantizer
    texts: Sequence[Text]

    def measure(self, quantised: Path, progress: Progress) -> Quality | None:
        """The quality of the folder; None, with a notice, where it cannot be measured."""
        from quantize.measuring.measure import Measurement  # noqa: PLC0415 - transformers, 2 s

        try:
            check_memory()
            return Measurement(
                full=self.full,
                quantised=quantised,
                layers=self.plan.layers,
                quantizer=self.quantizer,
                texts=self.texts,
            ).run(progress, better_of(self.full, self.plan.scheme))
        except (QuantizeError, RuntimeError) as error:  # the second is torch's, of shapes
            progress.notice(f"the quality is not known: {error}")
            return None

    def measure_present(self, quantised: Path, manifest: Manifest, progress: Progress) -> Manifest:
        """The same of a model that was made before, into its manifest; returns that.

        Nothing is done where it was measured with these texts already.

        Raises:
            ManifestError: the manifest cannot be written.
        """
        if manifest.quality is not None and _hashes(manifest.quality.texts) == _hashes(self.texts):
            return manifest
        if (quantised / SIGNATURE).exists():
            progress.notice(
                f"{quantised.name} is signed, and its manifest with it, so it is not measured now. "
                f"Remove {SIGNATURE}, measure, and sign it again."
            )
            return manifest
        quality = self.measure(quantised, progress)
        if quality is None:
            return manifest
        measured = replace(manifest, quality=quality)
        measured.write(quantised)
        return measured


def better_of(full: Path, scheme: QuantScheme) -> Better:
    """The way to store the full weights that loses less than this scheme, and its bytes."""
    tensors = source.tensors_of(full)
    whole = Better(scheme=QuantScheme.NONE, bytes=sum(tensor.num_bytes for tensor in tensors))
    better = BETTER.get(scheme, QuantScheme.INT8)
    if better is QuantScheme.NONE:
        return whole
    try:
        plan, _ = planning.plan(tensors, result.config_of(full), QuantOptions(scheme=better))
    except QuantizeError:
        return whole
    return Better(scheme=better, bytes=plan.output_bytes)


def _hashes(texts: Iterable[Text | TextFigures]) -> list[str]:
    return [text.sha256 for text in texts]


def check_memory() -> None:
    """Raises QuantizeError: less is free than measuring takes."""
    free = host_memory.available_bytes()
    if free is not None and free < MEMORY_BYTES:
        raise QuantizeError(
            f"measuring takes {size(MEMORY_BYTES)} of memory and {size(free)} are free."
        )

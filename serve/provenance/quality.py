"""The quality that weights lost by being quantised, as their manifest says, and its gate.

The figures were measured when the weights were made (quantize/measuring) and stand under the
manifest's checksum, and its signature where there is one. Nothing is measured here.
"""

from __future__ import annotations

import logging
import shlex
from dataclasses import dataclass

from models.quality import Quality
from models.refs import Artifact, OtherScheme, QuantScheme, Scheme
from models.trust.manifest import Manifest
from quantize.measuring import gates
from serve.errors import StartupError

log = logging.getLogger(__name__)

GATE = "gate"
"""Value of ``--min-quality``: the limits of quantize/measuring/gates.py for scheme and size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The quality of the served weights, as far as it is known.

    Attributes:
        scheme: of the weights.
        quality: None where nobody measured it.
        complaint: that it is too little, and what is better; None where it is enough.
        remedy: how to find out, where nothing is known.
    """

    scheme: Scheme
    quality: Quality | None = None
    complaint: str | None = None
    remedy: str = ""

    @property
    def line(self) -> str | None:
        """The line for the operator; None of full weights, which lost nothing."""
        if self.scheme is QuantScheme.NONE:
            return None
        if self.quality is None:
            return f"NOT KNOWN: nobody measured what {self.scheme} cost this model. {self.remedy}"
        return self.quality.line


def standing(artifact: Artifact, manifest: Manifest | None, least: str | None) -> Standing:
    """The quality of the weights, once it is enough for ``--min-quality``.

    Args:
        artifact: to be served.
        manifest: its own; None where it has none.
        least: as ``--min-quality`` says: ``gate``, the largest mean KL divergence, or None.

    Raises:
        StartupError: less than ``least``, or not known.
    """
    if artifact.scheme is QuantScheme.NONE:
        return Standing(scheme=artifact.scheme)
    quality = None if manifest is None else manifest.quality
    result = Standing(
        scheme=artifact.scheme,
        quality=quality,
        complaint=None if quality is None else gates.complaint(quality, artifact.scheme),
        remedy=_remedy(artifact),
    )
    if quality is None:
        if least is not None:
            raise StartupError(f"--min-quality {least}: {result.line}")
        log.warning("quality not known", extra={"model": artifact.name})
        return result
    if least == GATE and result.complaint is not None:
        raise StartupError(f"--min-quality {least}: {artifact.name} lost {result.complaint}")
    if least not in (None, GATE) and not quality.kl_mean <= float(least):
        raise StartupError(
            f"--min-quality {least}: the mean KL divergence of {artifact.name} is "
            f"{quality.kl_mean:.4g} (over {quality.name}). {_better(quality)}"
        )
    if result.complaint is not None:
        log.warning(
            "quality below the gate", extra={"model": artifact.name, "why": result.complaint}
        )
    return result


def _remedy(artifact: Artifact) -> str:
    """The command that measures; it needs the full weights."""
    if isinstance(artifact.scheme, OtherScheme):
        return "Another tool made it; ask who published it."
    full = artifact.name.rpartition("--")[0] or "FULL"
    return f"To find out: python -m quantize.measuring {full} {shlex.quote(artifact.name)}"


def _better(quality: Quality) -> str:
    if quality.better is None:
        return "Allow more."
    return f"Allow more, or take --quant {quality.better.scheme}."

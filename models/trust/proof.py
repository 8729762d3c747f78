"""Proof of a model before it is loaded: who signed it, and that it is what they signed.

The order matters: first the signature over the manifest, which reads three small files and refuses
at once; then the files against that same manifest, in one pass of hashing. The second may run while
the model is being loaded, as long as nobody is served before it has passed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.progress import Meter
from models.trust.verified_cache import Stamps
from models.trust.verify import Mode, Report, verify

if TYPE_CHECKING:
    from models.trust.signing import SignerInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The result of a proof.

    Attributes:
        report: the files beside the manifest; may hold differences.
        signer: None where no signature was asked for.
    """

    report: Report
    signer: SignerInfo | None

    @property
    def digest(self) -> str:
        """The name of these bytes, for banners and logs."""
        return self.report.manifest.digest


def prove(
    folder: Path,
    mode: Mode,
    *,
    trust: Path | None = None,
    expect: str | None = None,
    stamps: Stamps | None = None,
    meter: Meter | None = None,
) -> Proof:
    """Check the signature, then the files.

    Args:
        folder: the artifact.
        mode: how thoroughly the files are compared; a signature is checked under each.
        trust: a directory of public keys, or one of them: the artifact must be signed by such a
            key. None asks for no signature.
        expect: as in `models.trust.verify.verify`, like stamps and meter.

    Raises:
        SignatureError: trust is given, and the signature is missing, another's, or does not hold.
        ManifestMissingError, ManifestError, NotIntactError, UnstableFileError: as in `verify`.
    """
    signer = None
    if trust is not None:
        from models.trust.signing import check_signature  # a third of a second, for who asks for it

        signer = check_signature(folder, trust)
    report = verify(
        folder,
        mode,
        manifest=signer.manifest if signer is not None else None,
        expect=expect,
        stamps=stamps,
        meter=meter,
    )
    return Proof(report=report, signer=signer)

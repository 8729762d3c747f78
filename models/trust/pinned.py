"""The digest that models.lock pins a folder to, looked for before anything that could excuse it.

A pin belongs to the folder in the store, under whatever name or link that folder was asked for. A
pinned folder without its manifest is refused: who can exchange the weights can remove the manifest
as well, and a model that nobody vouched for is another thing than one whose voucher is gone.
"""

from __future__ import annotations

from pathlib import Path

from models.errors import ManifestMissingError, NotIntactError
from models.lockfile import LockFile
from models.store import DirectoryStore
from models.target import is_plain_name
from models.trust.manifest import MANIFEST, Manifest


def expected(folder: Path, data_dir: Path) -> str | None:
    """The digest that the folder must have; None where no pin is about it.

    Raises:
        LockFileError: models.lock is damaged.
        NotIntactError: two names of the store lead to this folder, pinned to different bytes.
    """
    store = DirectoryStore(data_dir)
    here = folder.resolve()
    digests = {
        pin.digest
        for name, pin in LockFile(data_dir).read().items()
        if is_plain_name(name) and store.path_of(name).resolve() == here
    }
    if len(digests) > 1:
        raise NotIntactError(
            f"the model folder {folder} is pinned to {len(digests)} different digests "
            f"({', '.join(sorted(digests))}) under different names; it can have one. Remove the "
            "links in the store that lead to it, or pull the models anew."
        )
    return next(iter(digests), None)


def manifest_of(folder: Path, expect: str | None) -> Manifest:
    """The manifest in a folder, which is the pinned one.

    Args:
        folder: the artifact.
        expect: as `expected` says; None takes any manifest.

    Raises:
        ManifestMissingError: there is none, and none is expected.
        NotIntactError: there is none, or another, and the folder is pinned.
        ManifestError: it is broken.
    """
    try:
        manifest = Manifest.read(folder)
    except ManifestMissingError:
        if expect is None:
            raise
        raise without_manifest(folder, expect) from None
    hold(folder, manifest.digest, expect)
    return manifest


def hold(folder: Path, digest: str, expect: str | None) -> None:
    """Raises NotIntactError: another digest is expected."""
    if expect is not None and digest != expect:
        raise NotIntactError(
            f"the model folder {folder} is another than was pinned: its manifest has the digest "
            f"{digest}, pinned is {expect}. Pull or import the model anew."
        )


def without_manifest(folder: Path, expect: str) -> NotIntactError:
    """The refusal of a pinned folder that has lost its manifest."""
    return NotIntactError(
        f"the model folder {folder} is pinned in models.lock ({expect}), and its {MANIFEST} is "
        "gone, so nothing shows that these are the pinned bytes. Pull or import the model anew."
    )

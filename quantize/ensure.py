"""The quantised artifact that belongs to a model: what it is called, and whether it is here.

It lies in the store beside the model that it was made from, under a name of its own, so that it is
listed, verified, signed, sealed and removed as any model is. Its manifest names the digest of the
weights that it was made from: weights that have changed since make it stale.

No torch in here: the server asks before it loads anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.errors import ManifestError, ManifestMissingError, ModelError, ModelNotFoundError
from models.lockfile import LockFile
from models.refs import Artifact, QuantScheme, Scheme
from models.store import DirectoryStore
from models.target import quantised_name
from models.trust import pinned
from models.trust.manifest import QUANTISED_FROM, Manifest
from quantize.plan.choices import Choice

SOURCE_DIGEST = QUANTISED_FROM
"""The key of a manifest's tools that holds the digest of the full weights."""
RECIPE = "quantise"
"""The key that holds scheme, method and settings."""
EDITIONS = {QuantScheme.INT8: "/2", QuantScheme.INT4: "/2"}
"""The edition that a recipe adds to a scheme whose numbers changed since its name was new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The artifact that the store has for a model and a scheme, or why it has none.

    Attributes:
        artifact: that may be used; None when one has to be made.
        reason: why, for the log: a whole sentence without its full stop.
        is_stale: something is there whose place the new one takes.
    """

    artifact: Artifact | None
    reason: str
    is_stale: bool = False


def artifact_name(name: str, scheme: Choice | QuantScheme) -> str:
    """The name in the store of a model of this name once it is quantised."""
    return quantised_name(name, scheme)


def source_digest(folder: Path) -> str | None:
    """The digest of the full weights that an artifact was made from; None where it does not say.

    Raises:
        ManifestError: it has no manifest, or a broken one.
    """
    return Manifest.read(folder).tools.get(QUANTISED_FROM)


def digest_of(folder: Path, expect: str | None = None) -> str:
    """The digest of a folder: its manifest's; of one without a manifest, hashed now. May block.

    Args:
        folder: of the full weights.
        expect: that models.lock pins it to.

    Raises:
        ManifestError: the manifest is broken, or the folder cannot have one.
        NotIntactError: it is pinned, and its manifest is another or gone.
    """
    try:
        return pinned.manifest_of(folder, expect).digest
    except ManifestMissingError:
        return Manifest.build(folder).digest


def find(name: str, choice: Choice, data_dir: Path, *, full: Path | None) -> Found:
    """The model's artifact of this scheme, if the store has it and it is not stale.

    Its files are not hashed here: every start proves them against the manifest.

    Args:
        name: the full model's, as in the store.
        choice: of any scheme but ``none``.
        data_dir: the store is ``<data_dir>/models``.
        full: the folder of the full weights; None where they are not on this machine. The pin in
            models.lock stands for them then, if there is one.

    Raises:
        ModelError: the name is none that the store can have, what has it is not what the name
            says, or the lock file or the full model's manifest is damaged.
    """
    store = DirectoryStore(data_dir)
    path = store.path_of(artifact_name(name, choice))
    if not path.is_dir():
        return Found(artifact=None, reason=f"{path.name} is not in the store")
    try:
        artifact = store.find(path.name)
        tools = Manifest.read(path).tools
    except ManifestMissingError:
        tools = {}
    except (ModelNotFoundError, ManifestError) as error:
        return Found(artifact=None, reason=f"{path.name} is not whole: {error}", is_stale=True)
    made_from = tools.get(QUANTISED_FROM)
    if made_from is not None and _is_former(artifact.scheme, choice.scheme, tools, full):
        return Found(
            artifact=None,
            reason=f"{path.name} was made when {choice.scheme} was another format",
            is_stale=True,
        )
    if artifact.scheme is not choice.scheme:
        raise ModelError(
            f"{path} is called {choice.scheme} and is {artifact.scheme}. Remove it with "
            f"`python -m models rm {path.name}`, and it is made anew."
        )
    wanted = _wanted(name, data_dir, full)
    if made_from is None:
        raise ModelError(
            f"{path} does not say that it was made from {name}. Serve it by its own name "
            f"(--model {path.name}), or remove it with `python -m models rm {path.name}`."
        )
    if wanted is not None and made_from != wanted:
        return Found(
            artifact=None,
            reason=f"{path.name} was made from other weights ({made_from}; here are {wanted})",
            is_stale=True,
        )
    return Found(artifact=artifact, reason=f"{path.name} is in the store, made from {made_from}")


def _is_former(
    scheme: Scheme, wanted: QuantScheme, tools: Mapping[str, str], full: Path | None
) -> bool:
    """Whether it is of the format that the name stood for before.

    int8 was what int8-w8a8 is. int4 had no zero points, and full embeddings: such a one is served
    where there are no full weights to make a better one from, and one that a text has calibrated
    always.
    """
    if wanted is QuantScheme.INT8:
        return scheme is QuantScheme.INT8_W8A8
    if wanted is not QuantScheme.INT4 or scheme is not wanted or full is None:
        return False
    recipe = tools.get(RECIPE, "").split()
    return recipe[:2] in ([wanted, "rtn"], [wanted, "search"])


def _wanted(name: str, data_dir: Path, full: Path | None) -> str | None:
    """The digest of the full weights, if anything here tells it."""
    if full is not None:
        return digest_of(full, pinned.expected(full, data_dir))
    pin = LockFile(data_dir).get(name)
    return None if pin is None else pin.digest

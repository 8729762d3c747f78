"""Every error of this package; commands print the message and exit with code 2.

::

    ModelError
    ├── InvalidRefError       the text is not a model reference
    ├── CatalogError          catalog.toml is wrong: a defect of ours
    ├── ModelNotFoundError    no such alias or folder, or a folder that is not whole
    ├── UnknownSchemeError    the folder's quantisation is none that we know
    ├── ModelRefusedError     the folder holds what models/policy.py does not allow
    ├── UnknownShapeError     a model's memory cannot be computed from its config.json
    ├── FitError              `fit` was asked for a length or number of devices that cannot be
    ├── ManifestError         the manifest is wrong, or cannot describe the folder
    │   └── ManifestMissingError  the folder has none
    ├── UnstableFileError     a file was written to while it was read
    ├── OriginError           the hub, or the folder to copy from, does not give the model
    │   └── TransientOriginError  it may do so in a moment
    ├── HashMismatchError     what arrived is not what the origin says it is
    ├── DiskFullError         there is no room for the model
    ├── StoreBusyError        another process is working on the same model
    ├── LockFileError         models.lock is damaged, or cannot be written
    ├── NotIntactError        files differ from the manifest
    ├── BundleError           a bundle is none, contradicts itself, or cannot be made here
    │   └── PartsMissingError     parts of it are missing or damaged
    ├── CertificatesError     the certificates that the environment names cannot be read
    ├── HomelessError         a folder of the user's is needed, and there is no home directory
    └── SignatureError        unsigned, signed by an unknown key, or signed for other bytes

Messages are for the operator of this machine, so they may hold paths of it.
"""

from __future__ import annotations


class ModelError(Exception):
    """Root of the tree."""


class InvalidRefError(ModelError):
    """The text is not a model reference (``owner/name`` or ``owner/name@revision``)."""


class CatalogError(ModelError):
    """The catalog breaks its own rules."""


class ModelNotFoundError(ModelError):
    """There is no such model here, or it is not whole. Says what is known and what to do."""


class UnknownSchemeError(ModelError):
    """The folder says that its weights are quantised, in a way that we do not know."""


class UnknownShapeError(ModelError):
    """config.json is of a family, or lacks a size, so that its memory cannot be computed."""


class FitError(ModelError):
    """The model has no such context length, or cannot be shared by so many devices."""


class ModelRefusedError(ModelError):
    """The folder holds something that models/policy.py refuses. Names each file and its rule."""


class ManifestError(ModelError):
    """The manifest breaks its format, or a folder holds what none can describe."""


class ManifestMissingError(ManifestError):
    """The folder has no manifest, so that there is nothing to check it against."""


class UnstableFileError(ModelError):
    """A file was written to while it was read."""


class NotIntactError(ModelError):
    """The folder is not what its manifest says. Names each file that differs."""


class SignatureError(ModelError):
    """The folder is unsigned, or signed by a key that is not trusted, or for other bytes."""


class OriginError(ModelError):
    """The hub or the folder that a model is taken from does not give it. Says what to do."""


class TransientOriginError(OriginError):
    """The same, where trying again may help.

    Attributes:
        retry_after_s: how long the origin asks to wait; None where it says nothing.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class HashMismatchError(ModelError):
    """Bytes came that the origin, or models.lock, does not name. They were thrown away."""


class DiskFullError(ModelError):
    """There is no room for the model on the disk of the store."""


class StoreBusyError(ModelError):
    """Another process is working on the model of this name."""


class LockFileError(ModelError):
    """models.lock is not what we write, or cannot be written."""


class BundleError(ModelError):
    """An index is none or contradicts itself, or a bundle cannot be written or put in place."""


class PartsMissingError(BundleError):
    """Parts of a bundle were not found, or are damaged. Names each; what was good is kept."""


class CertificatesError(ModelError):
    """SSL_CERT_FILE or SSL_CERT_DIR names what holds no certificates, or cannot be read."""


class HomelessError(ModelError):
    """A folder in the user's home directory is needed, and this user has none. Says what to set."""

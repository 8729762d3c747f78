"""The software bundle, step by step. `python -m release` is its command.

::

    OUT/
      SHA256SUMS         every file below by hash; written last: without it there is no bundle
      SHA256SUMS.sig     a signature over it, with --sign (as models/bundle/seal.py)
      install.sh         makes an environment and imports the model, without a network
      requirements.lock  the lock, and our own wheel
      sbom.cdx.json      what is in here (sbom.py)
      wheels/            every package, and our own sources as a wheel
      model/             a bundle of the model (models/bundle)

SHA256SUMS, and no index of our own: it is checked with `sha256sum` and `openssl`, on a machine that
has nothing else yet.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.bundle.index import Index, index_name, seal_name
from models.bundle.write import Bundle
from models.durable import write_whole
from models.progress import Progress
from models.trust import keys
from release import lock as release_lock
from release import sbom, wheels
from release.errors import ReleaseError
from release.wheels import Wheel

SUMS, SEAL = "SHA256SUMS", "SHA256SUMS.sig"
INSTALL = Path(__file__).with_name("install.sh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A software bundle that is whole.

    Attributes:
        num_bytes: of all files.
        key_id: of the signer; None when it is not signed.
    """

    folder: Path
    num_wheels: int
    num_bytes: int
    model: Index
    key_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One run.

    Attributes:
        folder: of the bundle.
        lock: of the packages.
        model: writes its bundle to ``folder / "model"``; its key signs SHA256SUMS as well.
        progress: told of everything but pip's work.
    """

    folder: Path
    lock: Path
    model: Bundle
    progress: Progress

    def run(self) -> Released:
        """Put all together, once the wheels are here (`wheels.fetch`), and write the sums.

        Raises:
            ReleaseError: a package is missing or is not of the lock, or a file cannot be written.
            ModelError: the model cannot be bundled, or the key not be used.
        """
        locked = release_lock.read(self.lock)
        folder = self.folder / "wheels"
        try:
            (self.folder / SUMS).unlink(missing_ok=True)
            (self.folder / SEAL).unlink(missing_ok=True)
            others = wheels.held_to(locked, folder, self.progress)
            self._name_startup_files(others)
            self.progress.phase("build")
            own = wheels.own(folder)
            model = self.model.run().index
            self._write_texts(own, others, model)
            num_bytes, key_id = self._commit([own, *others], model)
        except OSError as error:
            raise ReleaseError(
                f"{error.filename or self.folder}: {error.strerror or error}"
            ) from None
        return Released(
            folder=self.folder,
            num_wheels=len(others) + 1,
            num_bytes=num_bytes,
            model=model,
            key_id=key_id,
        )

    def _name_startup_files(self, others: Sequence[Wheel]) -> None:
        """Notice packages with ``.pth`` files: their lines run before any program of ours."""
        for wheel in others:
            if wheel.startup_files:
                self.progress.notice(
                    f"{wheel.name} runs code at each start of Python: "
                    f"{', '.join(wheel.startup_files)}"
                )

    def _write_texts(self, own: Wheel, others: Sequence[Wheel], model: Index) -> None:
        text = release_lock.text_of(self.lock).rstrip("\n")
        pinned = f"{own.name}=={own.version} \\\n    --hash=sha256:{own.sha256}\n"
        write_whole(self.folder / "requirements.lock", f"{text}\n{pinned}".encode())
        write_whole(self.folder / "sbom.cdx.json", sbom.bill(own, others, model))
        shutil.copyfile(INSTALL, self.folder / INSTALL.name)

    def _commit(self, every_wheel: Sequence[Wheel], model: Index) -> tuple[int, str | None]:
        self.progress.phase("commit")
        sums = {f"wheels/{wheel.path.name}": wheel.sha256 for wheel in every_wheel}
        sums |= {f"model/{part.name}": part.sha256 for part in model.parts}
        texts = ["install.sh", "requirements.lock", "sbom.cdx.json"]
        texts.append(f"model/{index_name(model.model)}")
        if self.model.private_key is not None:
            texts.append(f"model/{seal_name(model.model)}")
        for name in texts:
            sums[name] = hashlib.sha256((self.folder / name).read_bytes()).hexdigest()
        raw = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(sums.items())).encode()
        key_id = None
        if self.model.private_key is not None:
            signature, key_id = keys.sign_bytes(raw, self.model.private_key, self.model.password)
            write_whole(self.folder / SEAL, signature)
        write_whole(self.folder / SUMS, raw)
        return sum((self.folder / name).stat().st_size for name in sums), key_id

"""A small model with a manifest, and bundles and imports of it in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.bundle.media import Media
from models.bundle.read import Import, Imported
from models.bundle.write import Bundle, Bundled
from models.progress import Progress
from models.refs import ModelRef
from models.trust.manifest import Manifest
from tests.hub.pulls import Watch
from tests.models.folders import safetensors, whole

NAME = "our-tune"
SPLIT = 10_000
SOURCE = ModelRef(repo="acme/tiny", revision="c" * 40)


def model(path: Path, num_bytes: int = 36_000, **config: Any) -> Path:
    """A model of some kB: four parts and a half of SPLIT, over files that lie across them."""
    folder = whole(path, **config)
    content = bytearray(safetensors(num_bytes))
    content[-num_bytes:] = bytes(index * 7 % 251 for index in range(num_bytes))
    (folder / "model.safetensors").write_bytes(content)
    (folder / "empty.txt").touch()
    (folder / "deep").mkdir()
    (folder / "deep" / "notes.txt").write_text("n" * 5_000)
    Manifest.build(folder, source=SOURCE, licence="mit").write(folder)
    return folder


def write(source: Path, out: Path, watch: Watch | None = None, **changes: Any) -> Bundled:
    """Bundle a folder as NAME."""
    facts: dict[str, Any] = {
        "name": NAME,
        "source": source,
        "folder": out,
        "progress": Progress(watch or Watch()),
        "split": SPLIT,
    }
    return Bundle(**(facts | changes)).run()


def read(data_dir: Path, *media: Path, watch: Watch | None = None, **changes: Any) -> Imported:
    """Import from these media."""
    progress = Progress(watch or Watch())
    return Import(media=Media.of(media), data_dir=data_dir, progress=progress, **changes).run()


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def flip(path: Path, at: int = 0) -> None:
    """Change one bit of a file."""
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)

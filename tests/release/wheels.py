"""Wheels without an index: those of this environment, packed again, and hand-made ones."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

NOT_PACKED = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")


def pack(folder: Path, name: str, version: str, tag: str, files: Mapping[str, bytes]) -> Path:
    """A wheel of these files, with a RECORD of them (PEP 427)."""
    stem = f"{name.replace('-', '_')}-{version}"
    rows = []
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / f"{stem}-{tag}.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        for path, raw in sorted(files.items()):
            digest = base64.urlsafe_b64encode(hashlib.sha256(raw).digest()).rstrip(b"=").decode()
            rows.append(f"{path},sha256={digest},{len(raw)}\n")
            archive.writestr(path, raw)
        record = f"{stem}.dist-info/RECORD"
        archive.writestr(record, "".join([*rows, f"{record},,\n"]))
    return folder / f"{stem}-{tag}.whl"


def repacked(folder: Path, name: str) -> Path:
    """An installed package as the wheel that it came from, but for its scripts."""
    found = importlib.metadata.distribution(name)
    files = {
        str(path): Path(found.locate_file(path)).read_bytes()
        for path in found.files or []
        if not path.parts[0].startswith("..")
        and "__pycache__" not in path.parts
        and path.name not in NOT_PACKED
    }
    (wheel,) = (raw.decode() for path, raw in files.items() if path.endswith(".dist-info/WHEEL"))
    tag = next(line.split(": ")[1] for line in wheel.splitlines() if line.startswith("Tag: "))
    # The files lie in NAME.dist-info as the package spells its name.
    spelled = next(path for path in files if path.endswith(".dist-info/WHEEL")).split("-")[0]
    return pack(folder, spelled, found.version, tag, files)


def made(folder: Path, name: str, version: str = "1.0", *, head: str = "", **files: str) -> Path:
    """A wheel of one empty module. ``head`` is added to its METADATA, ``files`` to its files."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{head}"
    wheel = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    content = {
        f"{name}.py": b"",
        f"{info}/METADATA": metadata.encode(),
        f"{info}/WHEEL": wheel.encode(),
    } | {path: text.encode() for path, text in files.items()}
    return pack(folder, name, version, "py3-none-any", content)


def lock(path: Path, wheels: Iterable[Path]) -> Path:
    """A lock of these wheels, in the form of requirements/*.lock."""
    lines = ["# made by a test\n"]
    for wheel in wheels:
        name, version = wheel.name.split("-")[:2]
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        lines.append(f"{name}=={version} \\\n    --hash=sha256:{digest}\n    # via tests\n")
    path.write_text("".join(lines))
    return path

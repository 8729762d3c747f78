"""A software bundle is whole once its sums are written: every file by hash, and no half of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from models.bundle.write import Bundle
from models.progress import Progress
from models.trust.hashing import sha256_files
from release import bundle, wheels
from release.bundle import SEAL, SUMS, Release
from release.errors import ReleaseError
from tests.hub.pulls import Watch
from tests.models.bundle.bundles import NAME, SPLIT, model
from tests.release.wheels import lock, made


@pytest.fixture
def own(monkeypatch) -> None:
    """Our own wheel, without a build."""

    def build(folder: Path) -> wheels.Wheel:
        path = made(folder, "intramural", "0.1.0")
        return wheels.read(path, sha256_files([path])[0])

    monkeypatch.setattr(bundle.wheels, "own", build)


def release(out: Path, watch: Watch | None = None, **files: str) -> Release:
    locked = [made(out / "wheels", "a"), made(out / "wheels", "b", "2.0", **files)]
    progress = Progress(watch or Watch())
    return Release(
        folder=out,
        lock=lock(out.parent / "x.lock", locked),
        model=Bundle(
            name=NAME,
            source=model(out.parent / "source"),
            folder=out / "model",
            progress=progress,
            split=SPLIT,
        ),
        progress=progress,
    )


def sums(out: Path) -> dict[str, str]:
    lines = (out / SUMS).read_text().splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


@pytest.mark.usefixtures("own")
def test_the_sums_name_every_file_by_its_hash(tmp_path):
    out = tmp_path / "out"
    released = release(out).run()
    written = sums(out)
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert set(written) == files - {SUMS}
    for name, digest in written.items():
        assert digest == hashlib.sha256((out / name).read_bytes()).hexdigest()
    assert list(written) == sorted(written)
    assert released.num_wheels == 3
    assert released.num_bytes == sum((out / name).stat().st_size for name in written)
    assert released.key_id is None
    assert not (out / SEAL).exists()


@pytest.mark.usefixtures("own")
def test_the_lock_gets_our_own_wheel_with_its_hash(tmp_path):
    out = tmp_path / "out"
    release(out).run()
    text = (out / "requirements.lock").read_text()
    (ours,) = (out / "wheels").glob("intramural-*.whl")
    digest = hashlib.sha256(ours.read_bytes()).hexdigest()
    assert text.startswith((tmp_path / "x.lock").read_text())
    assert text.endswith(f"intramural==0.1.0 \\\n    --hash=sha256:{digest}\n")


@pytest.mark.usefixtures("own")
def test_a_run_that_fails_leaves_no_sums_behind(tmp_path):
    out = tmp_path / "out"
    its = release(out)
    its.run()
    stranger = made(out / "wheels", "stranger")
    with pytest.raises(ReleaseError, match="not in the lock"):
        its.run()
    assert not (out / SUMS).exists()
    stranger.unlink()
    its.run()
    assert (out / SUMS).is_file()


@pytest.mark.usefixtures("own")
def test_a_file_that_cannot_be_written_is_named(tmp_path):
    out = tmp_path / "out"
    its = release(out)
    (out / "sbom.cdx.json").mkdir()
    with pytest.raises(ReleaseError, match=r"sbom\.cdx\.json"):
        its.run()
    assert not (out / SUMS).exists()


@pytest.mark.usefixtures("own")
def test_packages_that_run_code_at_each_start_are_named(tmp_path):
    watch = Watch()
    release(tmp_path / "out", watch, **{"b.pth": "import b\n"}).run()
    assert [notice for notice in watch.notices if "b runs code at each start" in notice]

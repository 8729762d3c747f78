"""The claim is read before the engine starts, and the files are held against that very claim."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.__main__ import main as models_command
from models.lockfile import LockFile, Pin
from models.refs import Artifact
from models.store import load_folder
from models.trust.manifest import MANIFEST, Manifest
from models.trust.verify import Mode
from serve.errors import StartupError
from serve.provenance.proof import Proof, Verify, claim, prove, settle
from tests.models.folders import whole

Phases = list[tuple[str, int, int]]


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return load_folder(whole(tmp_path / "data" / "models" / "m"), name="m")


def proven(artifact: Artifact, tmp_path: Path, how: Verify = "auto", **options: Path) -> Proof:
    data_dir = tmp_path / "data"
    claimed = claim(artifact, data_dir, how=how, trusted_keys=options.get("trusted_keys"))
    return prove(claimed, data_dir, lambda *_: None)


def test_a_small_model_is_hashed_in_full(artifact: Artifact, tmp_path: Path) -> None:
    manifest = Manifest.build(artifact.path)
    manifest.write(artifact.path)
    phases: Phases = []
    claimed = claim(artifact, tmp_path / "data", how="auto", trusted_keys=None)
    proof = prove(claimed, tmp_path / "data", lambda *at: phases.append(at))
    assert proof == Proof(digest=manifest.digest, mode=Mode.FULL)
    assert phases[0] == ("verify", 0, manifest.size_bytes)
    assert phases[-1] == ("verify", manifest.size_bytes, manifest.size_bytes)
    assert str(proof) == f"{manifest.digest} (verified: full)"


def test_what_changed_after_the_claim_is_found(artifact: Artifact, tmp_path: Path) -> None:
    Manifest.build(artifact.path).write(artifact.path)
    claimed = claim(artifact, tmp_path / "data", how="full", trusted_keys=None)
    (artifact.path / "config.json").write_text("{}")
    Manifest.build(artifact.path).write(artifact.path)  # a manifest that agrees helps nobody
    with pytest.raises(StartupError, match=r"config\.json"):
        prove(claimed, tmp_path / "data", lambda *_: None)


def test_off_reads_the_manifest_only(artifact: Artifact, tmp_path: Path) -> None:
    manifest = Manifest.build(artifact.path)
    manifest.write(artifact.path)
    (artifact.path / "config.json").write_text("{}")
    assert proven(artifact, tmp_path, "off") == Proof(digest=manifest.digest, mode=Mode.OFF)


def test_without_a_manifest_bytes_are_named_or_unknown(artifact: Artifact, tmp_path: Path) -> None:
    digest = Manifest.build(artifact.path).digest
    named = proven(artifact, tmp_path)
    assert named == Proof(digest=digest, mode=None)
    assert "unproven" in str(named)
    unknown = proven(artifact, tmp_path, "quick")
    assert unknown == Proof(digest=None, mode=None)
    assert "unknown" in str(unknown)


def test_a_model_of_the_store_is_held_to_its_pin(artifact: Artifact, tmp_path: Path) -> None:
    Manifest.build(artifact.path).write(artifact.path)
    LockFile(tmp_path / "data").put("m", Pin(digest="sha256:" + "0" * 64))
    with pytest.raises(StartupError, match="pinned"):
        proven(artifact, tmp_path)


@pytest.mark.parametrize("how", ["auto", "full", "quick", "off"])
def test_a_pinned_model_without_its_manifest_is_refused(
    artifact: Artifact, tmp_path: Path, how: Verify
) -> None:
    LockFile(tmp_path / "data").put("m", Pin(digest=Manifest.build(artifact.path).digest))
    with pytest.raises(StartupError, match=r"pinned in models\.lock .* manifest\.json is gone"):
        claim(artifact, tmp_path / "data", how=how, trusted_keys=None)


def test_the_pin_holds_under_another_name(artifact: Artifact, tmp_path: Path) -> None:
    LockFile(tmp_path / "data").put("m", Pin(digest=Manifest.build(artifact.path).digest))
    (tmp_path / "link").symlink_to(artifact.path)
    linked = load_folder(tmp_path / "link", name="link")
    with pytest.raises(StartupError, match="pinned"):
        claim(linked, tmp_path / "data", how="off", trusted_keys=None)


def test_a_folder_whose_name_no_store_could_have_is_served(tmp_path: Path) -> None:
    odd = load_folder(whole(tmp_path / "our model"), name="our model")
    assert claim(odd, tmp_path / "data", how="off", trusted_keys=None).pinned is None


def test_what_changes_until_all_is_loaded_ends_the_start(
    artifact: Artifact, tmp_path: Path
) -> None:
    assert proven(artifact, tmp_path, "off").digest is None
    settle(artifact)
    weights = artifact.path / "model.safetensors"
    weights.rename(tmp_path / "w")
    weights.write_bytes((tmp_path / "w").read_bytes())  # the same bytes: nobody knows which it read
    with pytest.raises(StartupError, match=r"changed while .* 'model\.safetensors'"):
        settle(artifact)


def test_a_damaged_manifest_ends_the_start(artifact: Artifact, tmp_path: Path) -> None:
    (artifact.path / MANIFEST).write_text("{}")
    with pytest.raises(StartupError, match="not a manifest"):
        claim(artifact, tmp_path / "data", how="full", trusted_keys=None)


def test_signatures(artifact: Artifact, tmp_path: Path) -> None:
    for name in ("ours", "strangers"):
        (tmp_path / name).mkdir()
        assert models_command(["keygen", str(tmp_path / name / "key.pem")]) == 0
    sign = ["sign", str(artifact.path), "--key", str(tmp_path / "ours" / "key.pem")]
    with pytest.raises(StartupError, match=r"model\.sig"):
        proven(artifact, tmp_path, trusted_keys=tmp_path / "ours" / "key.pub")
    assert models_command([*sign, "--data-dir", str(tmp_path / "data")]) == 0
    proof = proven(artifact, tmp_path, trusted_keys=tmp_path / "ours" / "key.pub")
    assert proof.signer == "key.pub"
    with pytest.raises(StartupError, match="not trusted"):
        proven(artifact, tmp_path, trusted_keys=tmp_path / "strangers" / "key.pub")

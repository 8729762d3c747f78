"""Shards by several workers: whole under their names, or not there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.progress import Progress, Silent
from models.refs import QuantScheme
from models.staging import Staging, staged
from quantize.errors import BadWeightsError
from quantize.plan import layout
from quantize.plan.planning import plan
from quantize.plan.scheme_plan import QuantOptions
from quantize.write import writer as writing
from quantize.write.journal import Journal
from quantize.write.row_chunks import Worker
from quantize.write.source import Files, tensors_of
from quantize.write.writer import Writer, write_at

NAME = "model.layers.0.mlp.up_proj"
OPTIONS = QuantOptions(scheme=QuantScheme.INT8_W8A8)


@pytest.fixture
def full(tmp_path: Path) -> Path:
    folder = tmp_path / "full"
    folder.mkdir()
    torch.manual_seed(0)
    tensors = {f"{NAME}.weight": torch.randn(64, 32), "model.norm.weight": torch.randn(32)}
    save_file(tensors, folder / "model.safetensors")
    return folder


class Run:
    """What a writer works with, for all of a folder in one shard."""

    def __init__(self, full: Path, staging: Staging) -> None:
        tensors = tensors_of(full)
        self.plan, quantizer = plan(tensors, {}, OPTIONS)
        (self.shard,) = layout.shards_of(self.plan.outputs)
        self.journal = Journal(staging.parts, "x")
        self.files = Files(full, ["model.safetensors"])
        self.writer = Writer(
            tensors={tensor.name: tensor for tensor in tensors},
            files=self.files,
            worker=Worker(quantizer, None),
            staging=staging,
            journal=self.journal,
            progress=Progress(Silent()),
        )


def test_a_shard_is_whole_hashed_and_entered(full: Path, tmp_path: Path) -> None:
    with staged(tmp_path / "models", "m") as staging:
        run = Run(full, staging)
        with run.files, run.writer as writer:
            writer.write(run.shard)
            writer.finish()
        path = staging.tree / "model.safetensors"
        done = run.journal.done["model.safetensors"]
        assert done.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert done.size == path.stat().st_size == run.shard.num_bytes
        assert [layer.name for layer in done.layers] == [NAME]
        written = load_file(path)
        source = load_file(full / "model.safetensors")
        assert torch.equal(written["model.norm.weight"], source["model.norm.weight"])
        values = written[f"{NAME}.weight"].float() * written[f"{NAME}.weight_scale"]
        torch.testing.assert_close(values, source[f"{NAME}.weight"], rtol=0, atol=0.02)


def test_an_error_in_a_worker_leaves_no_shard_under_its_name(full: Path, tmp_path: Path) -> None:
    tensors = load_file(full / "model.safetensors")
    tensors[f"{NAME}.weight"][5, 5] = torch.nan
    save_file(tensors, full / "model.safetensors")
    with staged(tmp_path / "models", "m") as staging:
        run = Run(full, staging)
        with run.files, run.writer as writer, pytest.raises(BadWeightsError, match=NAME):
            writer.write(run.shard)
        assert not (staging.tree / "model.safetensors").exists()
        assert run.journal.done == {}


def test_a_shard_that_cannot_be_brought_to_the_disk_is_an_error_at_the_end(
    full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> None:
        raise OSError(f"cannot sync {path.name}")

    monkeypatch.setattr(writing, "_sync", fail)
    with staged(tmp_path / "models", "m") as staging:
        run = Run(full, staging)
        with run.files, run.writer as writer:
            writer.write(run.shard)
            with pytest.raises(OSError, match="cannot sync"):
                writer.finish()
        assert run.journal.done == {}


def test_torch_has_its_threads_again_afterwards(full: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    with staged(tmp_path / "models", "m") as staging:
        run = Run(full, staging)
        with run.files, run.writer as writer:
            writer.write(run.shard)
    assert torch.get_num_threads() == before


def test_writes_that_take_some_bytes_only_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, place: real(fd, data[:3], place))
    descriptor = os.open(tmp_path / "f", os.O_WRONLY | os.O_CREAT)
    write_at(descriptor, 2, memoryview(b"0123456789"))
    os.close(descriptor)
    assert (tmp_path / "f").read_bytes() == b"\0\x000123456789"

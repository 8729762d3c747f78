"""nf4 and bnb-int8 against bitsandbytes itself: what we store, its own layers compute with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import bitsandbytes
import pytest
import torch
from bitsandbytes import functional
from hypothesis import given, settings
from hypothesis import strategies as st

from models.folder import scheme_of
from models.refs import QuantScheme
from quantize.errors import BadWeightsError, OptionError
from quantize.formats import bnb
from quantize.protocol import Linear, Method, Options
from quantize.registry import quantizer
from quantize.schemes import bnb_int8, nf4
from tests.house.tree import ROOT


def linear(rows: torch.Tensor, dtype: str = "BF16") -> Linear:
    return Linear(name="m", num_out=rows.shape[0], num_in=rows.shape[1], dtype=dtype)


def random_rows(seed: int, num_out: int = 96, num_in: int = 128) -> torch.Tensor:
    return torch.randn(num_out, num_in, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("make", [nf4.make, bnb_int8.make])
@pytest.mark.parametrize("dtype", ["BF16", "F32", "F16"])
def test_what_is_made_is_what_was_planned(make, dtype: str) -> None:
    rows = random_rows(0)
    parts = make(Options()).quantise(rows, linear(rows, dtype))
    for stored in make(Options()).stored(linear(rows, dtype)):
        part = parts.pop(stored.suffix)
        assert tuple(part.shape) == stored.shape
        assert part.nbytes == stored.num_bytes
    assert parts == {}


@given(st.integers(0, 1000), st.integers(1, 95))
@settings(max_examples=20, deadline=None)
def test_rows_are_quantised_each_on_their_own(seed: int, cut: int) -> None:
    rows = random_rows(seed)
    for scheme in (nf4.make(Options()), bnb_int8.make(Options())):
        whole = scheme.quantise(rows, linear(rows))
        first, second = (scheme.quantise(piece, linear(rows)) for piece in (rows[:cut], rows[cut:]))
        for stored in scheme.stored(linear(rows)):
            joined = (first[stored.suffix], second[stored.suffix])
            if stored.is_by_row:
                assert torch.equal(torch.cat(joined), whole[stored.suffix])


def test_bitsandbytes_layers_compute_with_what_we_store() -> None:
    rows, x = random_rows(1), random_rows(2, 5)
    four = nf4.make(Options())
    parts = four.quantise(rows, linear(rows, "F32"))
    layer = bitsandbytes.nn.Linear4bit(128, 96, bias=False, quant_type="nf4")
    layer.weight = bitsandbytes.nn.Params4bit.from_prequantized(
        parts.pop("weight"),
        {name.removeprefix("weight."): part for name, part in parts.items()},
        requires_grad=False,
        device="cpu",
    )
    again = four.quantise(rows, linear(rows))
    want = x @ four.dequantise(again, linear(rows)).T
    assert torch.allclose(layer(x), want, rtol=1e-4, atol=1e-4)

    eight = bnb_int8.make(Options())
    parts = eight.quantise(rows, linear(rows))
    theirs, scb, _ = functional.int8_vectorwise_quant(rows.half())
    assert torch.allclose(parts["SCB"], scb.float(), rtol=1e-3)
    assert (parts["weight"].int() - theirs.int()).abs().max() <= 1


def test_the_levels_are_those_that_are_stored() -> None:
    rows = random_rows(4)
    stored = nf4.make(Options()).quantise(rows, linear(rows))["weight.quant_map"]
    assert torch.equal(stored, bnb.levels(torch.device("cpu")))


WATCH = """
import sys
from quantize import bnb

class Watch:
    def find_spec(self, name, *_):
        if name == "bitsandbytes.backends.cpu.ops":
            try:
                import kernels
            except ImportError:
                print("hidden")

sys.meta_path.insert(0, Watch())
bnb.functional()
import kernels
print("there again")
"""


def test_the_package_that_fetches_code_is_hidden_while_the_library_is_imported(
    tmp_path: Path,
) -> None:
    (tmp_path / "kernels.py").write_text("")
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    done = subprocess.run(
        [sys.executable, "-c", WATCH], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["hidden", "there again"]


def test_the_error_is_that_of_the_type() -> None:
    rows = random_rows(3, 256, 1024)
    for make, most in ((nf4.make, 0.01), (bnb_int8.make, 1e-4)):
        scheme = make(Options())
        error = scheme.dequantise(scheme.quantise(rows, linear(rows)), linear(rows)) - rows
        assert 0 < float((error**2).mean() / (rows**2).mean()) < most


@pytest.mark.parametrize("make", [nf4.make, bnb_int8.make])
def test_rows_of_zeros_stay_and_nan_is_an_error(make) -> None:
    scheme, zeros = make(Options()), torch.zeros(64, 64)
    parts = scheme.quantise(zeros, linear(zeros))
    assert torch.equal(scheme.dequantise(parts, linear(zeros)), zeros)
    for bad in (float("nan"), float("inf")):
        zeros[3, 5] = bad
        with pytest.raises(BadWeightsError):
            scheme.quantise(zeros, linear(zeros))


def test_what_cannot_be_is_refused() -> None:
    odd = Linear(name="m", num_out=8, num_in=96, dtype="BF16")
    assert "block of 64" in (nf4.make(Options()).fault(odd) or "")
    for make in (nf4.make, bnb_int8.make):
        with pytest.raises(OptionError, match="--method rtn"):
            make(Options(method=Method.SEARCH))


@pytest.mark.parametrize("scheme", [QuantScheme.NF4, QuantScheme.BNB_INT8])
def test_the_folder_says_which(tmp_path: Path, scheme: QuantScheme) -> None:
    import json

    config = quantizer(scheme, Options()).config([], ["lm_head"])
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": config}))
    assert scheme_of(tmp_path) is scheme

"""bitsandbytes' 4-bit numbers, and the import that must not fetch code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from quantize.formats import bnb
from tests.house.tree import ROOT

CPU = torch.device("cpu")


def test_sixteen_levels_from_minus_1_to_1_with_0_among_them() -> None:
    levels = bnb.levels(CPU)
    assert levels.tolist() == sorted(set(levels.tolist()))
    assert (len(levels), float(levels[0]), float(levels[-1])) == (16, -1.0, 1.0)
    assert 0.0 in levels


def test_a_block_is_its_largest_weight_times_levels() -> None:
    levels = bnb.levels(CPU)
    rows = torch.cat([3.0 * levels.repeat(4), 0.25 * levels.repeat(4)]).view(2, 64)
    packed, largest, stored = bnb.quantise(rows, 64)
    assert (packed.dtype, tuple(packed.shape)) == (torch.uint8, (64, 1))
    assert largest.tolist() == [3.0, 0.25]
    assert torch.equal(stored, levels)
    torch.testing.assert_close(bnb.dequantise(packed, largest, (2, 64), 64, torch.float32), rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_whole_rows_are_read_without_the_others(dtype: torch.dtype) -> None:
    rows = torch.randn(4, 128, generator=torch.Generator().manual_seed(0))
    packed, largest, _ = bnb.quantise(rows, 64)
    whole = bnb.dequantise(packed, largest, (4, 128), 64, dtype)
    last = bnb.dequantise(packed.flatten()[192:], largest[6:], (1, 128), 64, dtype)
    assert whole.dtype is dtype
    assert torch.equal(last, whole[3:])


WATCH = """
import sys
from quantize.formats import bnb

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

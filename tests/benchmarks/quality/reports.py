"""Reports that nobody measured, for tests of what is made out of reports."""

from __future__ import annotations

from benchmarks.quality.formulas import Divergence, Estimate
from benchmarks.quality.report import Agreement, Making, Report, Side
from benchmarks.quality.sequences import Score
from benchmarks.quality.tensors import TensorError

DIGEST = "sha256:" + "1" * 64


def side(scheme: str, right: int) -> Side:
    return Side(
        name="m",
        digest=DIGEST,
        scheme=scheme,
        weight_file_bytes=1000,
        resident_weight_bytes=1000,
        bits_per_weight=8.25,
        load_s=1.0,
        speed={
            "1": {"tokens_s": 4.0, "chunks_s": 4.0, "ttft_ms": 9.0},
            "8": {"tokens_s": 10.0, "chunks_s": 5.0, "ttft_ms": 3.0},
        },
        evaluation=Score(right=right, items=100),
    )


def agreement(top1: float, kl: float) -> Agreement:
    estimate = Estimate(value=1.5, stderr=0.1)
    return Agreement(
        tokens=100,
        sequences=10,
        top1=top1,
        base_perplexity=estimate,
        quantised_perplexity=estimate,
        ratio=estimate,
        kl=Divergence(mean=kl, median=kl, p99=kl, largest=kl),
        histogram={"1e-3": 100},
    )


def report(scheme: str = "int8", *, top1: float = 0.99, kl: float = 1e-3, right: int = 96):
    found = agreement(top1, kl)
    return Report(
        engine="transformers",
        num_weights=500_000_000,
        machine="2 cores",
        base=side("none", 96),
        quantised=side(scheme, right),
        making=Making(seconds=61.0, peak_memory_bytes=10**9),
        agreement={"evaluation": found, "all": found},
        tensors=(TensorError(name="a.weight", relative_mse=1e-4, num_weights=100, num_bytes=103),),
        failed=(),
    )

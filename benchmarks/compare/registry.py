"""Every system that can be compared, ours first."""

from __future__ import annotations

from benchmarks.compare import batching, in_process, servers
from benchmarks.compare.llama import running as llama
from benchmarks.compare.systems import System
from models.refs import QuantScheme


def known() -> list[System]:
    """All systems, in the order of the tables; no two have the same label."""
    none, int8, int4 = QuantScheme.NONE, QuantScheme.INT8, QuantScheme.INT4
    ours, llama_cpp = "intramural transformers", "llama.cpp"
    return [
        *(
            System(name=ours, scheme=scheme, via="engine", start=in_process.start_ours)
            for scheme in (none, int8, int4)
        ),
        System(name="intramural vllm", scheme=none, via="HTTP", start=servers.start_ours),
        System(name="vllm serve", scheme=none, via="HTTP", start=servers.start_vllm),
        *(
            System(name=llama_cpp, scheme=scheme, via="library", start=llama.start)
            for scheme in (none, int8, int4)
        ),
        System(name="transformers batching", scheme=none, via="library", start=batching.start),
        System(
            name="transformers generate",
            scheme=none,
            via="library",
            start=in_process.start_generate,
        ),
    ]

"""A GGUF in one of llama.cpp's own types, by llama.cpp, for an interpreter with llama-cpp-python.

python quantise_gguf.py BASE.gguf OUT.gguf q8_0|q4_0|q4_k_m|...

A base that is quantised itself is taken, too: its values are what they are.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import llama_cpp


def main(base: Path, out: Path, kind: str) -> None:
    """Write the file; it appears whole."""
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.allow_requantize = True
    settings.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind.upper()}")
    new = out.with_suffix(".new")
    if llama_cpp.llama_model_quantize(
        str(base).encode(), str(new).encode(), ctypes.byref(settings)
    ):
        raise SystemExit(f"llama.cpp cannot write {base} as {kind}")
    new.replace(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])

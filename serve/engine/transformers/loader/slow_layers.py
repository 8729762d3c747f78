"""Tells at start where this engine's own layers would be slow on a GPU, and what is quick there."""

from __future__ import annotations

import logging

from models.refs import QuantScheme
from serve.engine.transformers.loader.stored_scheme import DeclaredScheme

log = logging.getLogger(__name__)

UNPACKED = frozenset({QuantScheme.INT4, QuantScheme.INT8, QuantScheme.INT8_WEIGHT_ONLY})
"""Schemes whose weights are unpacked tile by tile on a GPU, each tile by launches of its own."""


def tell(declared: DeclaredScheme | None, device: str) -> None:
    """Log a warning that names vLLM, where each step would take thousands of launches."""
    if device != "cuda" or declared is None or declared.scheme not in UNPACKED:
        return
    log.warning(
        "this engine unpacks these weights tile by tile on a GPU, and will be very slow: vLLM has "
        "kernels for them (--engine vllm)",
        extra={"scheme": str(declared.scheme)},
    )

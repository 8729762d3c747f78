"""Which layers of a 4-bit model keep 8 bits. One table, so that what is found out has one place.

The projections of attention are an eighth of most models and more than half of what 4 bits cost
them; then comes the one back from the feed-forward: docs/quality.md has the figures. Layers that
engines join into one product (candidates.py, ``FUSED``) stand or fall together.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

VARIANTS: Mapping[str, str] = MappingProxyType(
    {
        "": r"\b(?:q|k|v|qkv|o)_proj$",
        "down": r"\b(?:q|k|v|qkv|o|down)_proj$",
    }
)
"""Of int4, by what stands behind its name: regular expressions, searched in modules' names."""
SENSITIVE = VARIANTS[""]

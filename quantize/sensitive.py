"""Which layers of a 4-bit model keep 8 bits. One table, so that what is found out has one place.

The projections to queries, keys and values are a tenth of most models and half of what 4 bits cost
them: docs/quality.md has the figures. Layers that engines join into one product (candidates.py,
``FUSED``) stand or fall together.
"""

from __future__ import annotations

SENSITIVE = r"\b(?:q|k|v|qkv)_proj$"
"""A regular expression, searched in a module's name."""

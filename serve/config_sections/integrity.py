"""The bytes that may be served: fetching, verification, signatures."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

Verify = Literal["auto", "full", "quick", "off"]


class IntegritySection(BaseModel):
    """Settings of which bytes may be served."""

    offline: bool = Field(
        False, description="Never fetch a model that is not on this machine. HF_HUB_OFFLINE=1 too."
    )
    verify: Verify = Field(
        "auto",
        description="How the model's files are held against their manifest at start: full hashes "
        "all, quick those that changed since; auto is full up to 40 GB, else quick.",
    )
    require_signature: bool = Field(
        False, description="Serve only a model that is signed by a key in --trusted-keys."
    )
    trusted_keys: Path | None = Field(
        None,
        description="Directory of public keys, *.pem or *.pub. Default: DATA_DIR/trusted-keys.",
    )

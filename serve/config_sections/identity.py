"""Callers: keys in a file or in the database, and an identity provider's tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field


class IdentitySection(BaseModel):
    """Settings of keys and tokens."""

    api_keys: Literal["file", "database"] = Field(
        "file",
        description="Where API keys are: in --api-key-file, or in the database, where `python -m "
        "serve keys create --database` puts them and all replicas find them.",
    )
    api_key_file: Path | None = Field(
        None, description="File of API key hashes, made by `python -m serve keys create`."
    )
    key_pepper_file: Path | None = Field(
        None,
        description="File of a secret that is mixed into every stored hash of a key: at least 32 "
        "bytes, such as `openssl rand -hex 32` gives. Keys stored with it need it. Replicas that "
        "share it take each other's tokens of /oauth/token.",
    )
    jwt_file: Path | None = Field(
        None,
        description="TOML file of the identity provider whose signed tokens (JWT) are taken: "
        "issuer, audience, algorithms, keys and claims. Default: none are.",
    )

    @property
    def needs_key(self) -> bool:
        """Whether callers must show who they are: a key or a token."""
        return (
            self.api_key_file is not None
            or self.api_keys == "database"
            or self.jwt_file is not None
        )

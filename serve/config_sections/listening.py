"""The HTTP layer: where it listens, to whom, and how long it waits for a client."""

from __future__ import annotations

from pydantic import BaseModel, Field, field_validator

from serve.origins import origin_of


class ListeningSection(BaseModel):
    """Settings of addresses, keys, origins, bounds and timeouts."""

    host: str = Field(
        "127.0.0.1",
        description="Address to bind. Anything but loopback needs callers that are known (by "
        "keys, --jwt-file or --client-cert-map), and TLS or --behind-proxy.",
    )
    port: int = Field(8000, ge=0, le=65535, description="Port to bind; 0 takes a free one.")
    allowed_origins: tuple[str, ...] = Field(
        (),
        description="Origins of web pages that may ask from a browser (CORS), as the browser "
        "writes them: `https://chat.example.org`, `http://localhost:5173`. `*` is every page, and "
        "needs --api-key-file. Default: none.",
    )
    playground: bool = Field(
        True,
        description="Serve a page for browsers: a playground at /, the API reference at /docs. It "
        "needs no key; what it asks for does.",
    )
    max_body_bytes: int | None = Field(
        None,
        ge=1024,
        description="Largest request body, in bytes. Default: 1 MiB, and 96 bytes for each token "
        "of the model's context, so that no prompt that fits is too large.",
    )
    max_header_bytes: int = Field(16_384, ge=1024, description="Most header bytes of a request.")
    receive_timeout_s: float = Field(
        10.0,
        gt=0,
        description="Seconds that a request's headers, or any piece of its body, may take.",
    )
    keep_alive_timeout: float = Field(
        75.0,
        gt=0,
        description="Seconds that a connection may be idle between two requests. Proxies in front "
        "must give theirs up sooner, or a request meets a closed one.",
    )
    shutdown_delay: float = Field(
        0.0,
        ge=0,
        description="Seconds after SIGTERM in which requests are still taken while /readyz fails, "
        "for balancers that have to notice. 0 where they ask another replica after a 503.",
    )
    shutdown_timeout: float = Field(
        30.0, ge=0, description="Seconds that running requests get to finish after that."
    )

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(origin_of(text) for text in origins if text.strip()))

"""Every setting of the server, declared once.

Flags, environment names, the config file's keys, ``--help`` and docs/config.md all come from the
fields below. vLLM's flag names are used where the meaning is equal. config_sources.py reads them.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_serializer,
    field_validator,
    model_validator,
)

from models import home, hub_cache
from models.errors import HomelessError
from models.refs import QuantScheme
from models.rules import names
from models.target import ModelTarget
from quantize.errors import OptionError
from quantize.plan.choices import NAMED, Choice, budget_of
from quantize.plan.scheme_support import EngineName
from serve import config_checks
from serve.environment import xdg
from serve.origins import origin_of
from serve.setting_names import flag_of

AUTO = "auto"
OR_AUTO = ("max_num_seqs", "max_num_batched_tokens")
"""Numbers that engine and device choose where none is given. ``auto`` says so; here it is None."""

EngineSetting = Literal["auto", EngineName, "fake"]
Dtype = Literal["auto", "bfloat16", "float16", "float32"]
Device = Literal["auto", "cpu", "cuda"]
Verify = Literal["auto", "full", "quick", "off"]


_PATHS = ("trusted_keys", "api_key_file", "data_dir", "state_dir")


class Config(BaseModel):
    """The settings of one server process. Immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # What to serve
    model: str = Field(
        "demo", description="Model to serve: `demo`, an alias of the catalog, or a folder."
    )
    served_model_name: tuple[str, ...] = Field(
        (),
        description="Names under which clients see the model. Default: the name given to --model.",
    )
    engine: EngineSetting = Field(
        "auto",
        description="Engine that runs the model. `auto` takes vLLM on a GPU where it is installed, "
        "else transformers; `fake` answers without a model, for tests.",
    )
    dtype: Dtype = Field(
        "auto", description="Type of weights and arithmetic; `auto` takes the checkpoint's."
    )
    quant: str = Field(
        "auto",
        description="How the weights are stored and computed with; made and kept on the first "
        "start. `auto` is as the model's folder is, `none` its full weights, `auto:6GB` the best "
        "that fits into so many bytes; else "
        + ", ".join(f"`{choice}`" for choice in NAMED if choice.scheme is not QuantScheme.NONE)
        + ".",
    )
    measure: bool = Field(
        True,
        description="Measure what quantising costs a model when it is made, on texts of ours.",
    )
    min_quality: str | None = Field(
        None,
        pattern=r"^(gate|\d*\.?\d+(e-\d+)?)$",
        description="Least quality of quantised weights, as measured when they were made: `gate` "
        "is what docs/quality.md asks of the scheme and the model's size, a number the largest "
        "mean KL divergence in nats. Less, or nothing known, ends the start.",
    )
    device: Device = Field("auto", description="Where the model runs.")
    arm: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="Name of the experiment arm (variant) that this server is: in the header "
        "`x-intramural-arm` of each answer, in every log line and in the metric "
        "`intramural_arm_info`.",
    )

    tool_dialect: str = Field(
        "auto",
        description="How the model writes tool calls and reasoning. `auto` finds it in the "
        "model's folder, `none` reads all text as content; else a name of docs/tools.md's table.",
    )

    # How much of it
    max_model_len: int | None = Field(
        None,
        ge=1,
        description="Most tokens of prompt and completion together. Default: the model's own, "
        "or as many as the KV cache holds where that is fewer.",
    )
    max_num_seqs: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="Most sequences that are decoded in one batch. `auto` is 32; with vLLM on a "
        "GPU vLLM's own for the card, 256 or more.",
    )
    max_num_batched_tokens: int | None = Field(
        None,
        ge=1,
        description="Most tokens in one forward: bounds how long a prefill holds up decodes. "
        "`auto` is 512; of these the transformers engine on a CPU gives prompts beside running "
        "answers 64 to 512, as many as it has measured to keep gaps below 0.25 s; with vLLM on a "
        "GPU vLLM's own for the card, 2048 or more.",
    )
    kv_cache_tokens: int | None = Field(
        None,
        ge=1,
        description="Bound of the KV cache in tokens. Default: derived from free memory.",
    )
    max_num_queued_reqs: int = Field(
        128, ge=0, description="Most requests that wait for the engine; above it requests get 503."
    )

    max_token_hold_ms: float = Field(
        10.0,
        ge=0,
        le=1000,
        description="Milliseconds that a token may wait to be sent with the next one of its "
        "stream, while tokens come faster than that. 0 sends each alone.",
    )

    # For the vLLM engine alone; with another engine they are an error
    tensor_parallel_size: int = Field(
        1, ge=1, description="vLLM: devices that share each layer of the model."
    )
    pipeline_parallel_size: int = Field(
        1, ge=1, description="vLLM: groups of devices that each hold some of the layers."
    )
    distributed_executor_backend: Literal["auto", "ray"] = Field(
        "auto",
        description="vLLM: where its workers run. `auto` is this machine; `ray` the nodes of the "
        "Ray cluster in RAY_ADDRESS, which must reach VLLM_HOST_IP.",
    )
    gpu_memory_utilization: float | None = Field(
        None,
        gt=0,
        le=1,
        description="vLLM: share of the GPU's memory that it takes; on a CPU, the KV cache's share "
        "of the memory that the weights leave free. Default: vLLM's own; 0.5 on a CPU.",
    )
    enable_prefix_caching: bool | None = Field(
        None,
        description="vLLM: reuse the KV cache of prompts that begin alike, each API key its own. "
        "Default: on.",
    )
    kv_cache_dtype: Literal["auto", "bfloat16", "fp8", "fp8_e4m3", "fp8_e5m2"] = Field(
        "auto", description="vLLM: type of the KV cache; `auto` takes the model's."
    )
    enforce_eager: bool = Field(
        False, description="vLLM: no compiled graphs. Starts sooner, decodes more slowly."
    )
    engine_arg: tuple[str, ...] = Field(
        (),
        description="vLLM: NAME=VALUE of any other engine argument of the installed vLLM; values "
        "are JSON or plain text.",
    )
    lora: tuple[str, ...] = Field(
        (),
        description="vLLM: NAME=PATH of a LoRA adapter's folder; clients ask for it by NAME as for "
        "a model.",
    )
    max_loras: int | None = Field(
        None,
        ge=1,
        description="vLLM: most adapters in one batch; each takes memory. Default: all of them, at "
        "most 8; on a CPU all of them.",
    )
    max_lora_rank: int | None = Field(
        None,
        ge=1,
        le=512,
        description="vLLM: highest rank of an adapter. Default: the adapters' own.",
    )
    engine_stall_timeout: float = Field(
        120.0,
        gt=0,
        description="Seconds without a step while requests run, after which the vLLM engine counts "
        "as hung and is restarted.",
    )

    # Which bytes may be served
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

    # Where it listens
    host: str = Field(
        "127.0.0.1", description="Address to bind. Anything but loopback needs --api-key-file."
    )
    port: int = Field(8000, ge=0, le=65535, description="Port to bind; 0 takes a free one.")
    api_key_file: Path | None = Field(
        None, description="File of API key hashes, made by `python -m serve keys create`."
    )
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

    # Where it keeps and writes
    data_dir: Path = Field(
        default_factory=lambda: xdg("XDG_DATA_HOME", ".local/share"),
        description="Where weights live.",
    )
    state_dir: Path = Field(
        default_factory=lambda: xdg("XDG_STATE_HOME", ".local/state"),
        description="Where state lives.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe log line."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto",
        description="Form of log lines: `text` is for people, `json` an object a line; `auto` "
        "takes text on a terminal, else JSON.",
    )
    fake_tokens_per_s: float | None = Field(
        None,
        gt=0,
        description="Pace of each stream of the fake engine. Default: as fast as it can.",
    )

    @field_validator(*OR_AUTO, mode="before")
    @classmethod
    def _is_left_open(cls, given: object) -> object:
        return None if given == AUTO else given

    @field_serializer(*OR_AUTO, when_used="json")
    def _as_given(self, number: int | None) -> int | str:
        return AUTO if number is None else number

    @field_validator("model", "served_model_name", "lora", *_PATHS)
    @classmethod
    def _are_shown_on_a_line(cls, value: Any) -> Any:
        for text in map(str, value if isinstance(value, tuple) else (value,)):
            if not names.is_one_line(text):
                raise ValueError("it has a control character in it: rename what it names")
        return value

    @field_validator(*_PATHS, mode="before")
    @classmethod
    def _are_not_empty(cls, value: Any) -> Any:
        return config_checks.not_empty(value)

    @field_validator(*_PATHS)
    @classmethod
    def _are_whole_paths(cls, path: Path | None) -> Path | None:
        """A shell puts the home directory in place of ``~``; a file of settings has no shell."""
        try:
            return None if path is None else home.expanded(path)
        except HomelessError as error:
            raise ValueError(str(error)) from None

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(origin_of(text) for text in origins if text.strip()))

    @model_validator(mode="after")
    def _names(self) -> Self:
        if any(not name.strip() for name in self.served_model_name):
            raise ValueError("served_model_name: a name is empty")
        return self

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        bounds = {flag_of(name): getattr(self, name) for name in ("max_loras", "max_lora_rank")}
        config_checks.check_adapters(self.lora, self.model_names, bounds)
        config_checks.check_signatures(
            self.trusted_keys,
            is_required=self.require_signature,
            is_verified=self.verify != "off",
            has_adapters=bool(self.lora),
        )
        config_checks.check_step(self.max_num_batched_tokens, self.max_num_seqs)
        return self

    @field_validator("quant")
    @classmethod
    def _names_a_way(cls, quant: str) -> str:
        try:
            if quant != "auto" and budget_of(quant) is None:
                Choice.parse(quant)
        except OptionError as error:
            raise ValueError(str(error)) from None
        return quant

    @model_validator(mode="after")
    def _quant(self) -> Self:
        if self.engine == "fake" and self.quant != "auto":
            raise ValueError("--quant: the fake engine has no weights. Leave one of them out")
        return self

    @property
    def model_names(self) -> tuple[str, ...]:
        """Names under which clients may ask for the model; the first is its id."""
        path = Path(self.model)
        name = hub_cache.name_of(path.expanduser().absolute()) or path.name or self.model
        return self.served_model_name or (name,)

    @cached_property
    def target(self) -> ModelTarget:
        """The model that ``model`` names, parsed once and carried from here."""
        return ModelTarget.parse(self.model)

    @property
    def quant_choice(self) -> Choice | None:
        """The form in which weights are stored; None is the folder's own, or by a budget."""
        if self.quant == "auto" or self.quant_bytes is not None:
            return None
        return Choice.parse(self.quant)

    @property
    def quant_bytes(self) -> int | None:
        """Most bytes that the weights may take, where a budget chooses how they are stored."""
        return budget_of(self.quant)

    @property
    def quant_scheme(self) -> QuantScheme | None:
        """The scheme that is asked for; None is as the model's folder is, or by a budget."""
        return None if self.quant_choice is None else self.quant_choice.scheme

    @property
    def signature_keys(self) -> Path | None:
        """Files of trusted keys, if a signature is required."""
        if not self.require_signature:
            return None
        return self.trusted_keys or self.data_dir / "trusted-keys"

    @cached_property
    def adapters(self) -> dict[str, Path]:
        """Folders of the LoRA adapters, by the names under which clients ask for them."""
        pairs = (given.partition("=") for given in self.lora)
        return {name: Path(path).expanduser() for name, _, path in pairs}

"""The model that is served: its name, its engine, and how its weights are stored."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from models import hub_cache
from models.refs import QuantScheme
from models.target import ModelTarget
from quantize.errors import OptionError
from quantize.plan.choices import NAMED, Choice, budget_of
from quantize.plan.scheme_support import EngineName

EngineSetting = Literal["auto", EngineName, "fake"]
Dtype = Literal["auto", "bfloat16", "float16", "float32"]
Device = Literal["auto", "cpu", "cuda"]


class ServedModelSection(BaseModel):
    """Settings of the model that is served."""

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

    @model_validator(mode="after")
    def _names(self) -> Self:
        if any(not name.strip() for name in self.served_model_name):
            raise ValueError("served_model_name: a name is empty")
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

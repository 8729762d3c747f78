"""Bounds of the work for one inspection of a folder, whatever the folder holds.

Each file has its own bounds; a folder of many files within them would still take minutes. So the
values of all JSON (headers of safetensors among them) and the bytes of all templates are counted
together, before they are parsed: a value is some 0.4 microseconds and up to 100 bytes of memory, a
byte of a template up to 6 microseconds.
"""

from __future__ import annotations

from pathlib import Path

MAX_VALUES = 2_600_000
"""Gemma 3's tokenizer.json has 1.8 million; a checkpoint of 210,000 tensors (384 experts in each of
61 layers, with scales) has 1.9 million in its headers and index."""
MAX_FILE_VALUES = 2_500_000
MAX_CONFIG_VALUES = 400_000
"""Gemma 3's tokenizer_config.json, the largest published configuration, has some 100,000."""
MAX_TEMPLATE_BYTES = 256 << 10
"""Of all chat templates of a folder together."""
MAX_TEMPLATES = 64


class BudgetFault(Exception):
    """The folder asks for too much work, as the end of a sentence that begins with "it".

    No ValueError: it ends the inspection, and not the reading of one file.
    """


class Budget:
    """The work that one inspection has left.

    Attributes:
        tensor_names: of each safetensors file that was read, so that an index need not read again.
    """

    def __init__(self) -> None:
        self.tensor_names: dict[Path, tuple[str, ...]] = {}
        self._values = MAX_VALUES
        self._template_bytes = MAX_TEMPLATE_BYTES
        self._templates = MAX_TEMPLATES

    def take_values(self, num: int) -> None:
        """Raises BudgetFault: the folder's JSON holds more values than are read."""
        self._values -= num
        if self._values < 0:
            raise BudgetFault(
                f"brings the JSON of this folder to {MAX_VALUES - self._values:,} values; at most "
                f"{MAX_VALUES:,} are read of one model"
            )

    def take_template(self, num_bytes: int, count: int = 1) -> None:
        """Raises BudgetFault: the folder's templates are too many, or too long together."""
        self._template_bytes -= num_bytes
        self._templates -= count
        if self._template_bytes < 0:
            raise BudgetFault(
                f"brings the chat templates of this folder to "
                f"{MAX_TEMPLATE_BYTES - self._template_bytes:,} bytes; together they have at most "
                f"{MAX_TEMPLATE_BYTES:,}"
            )
        if self._templates < 0:
            raise BudgetFault(
                "brings the chat templates of this folder to "
                f"{MAX_TEMPLATES - self._templates:,}; at most {MAX_TEMPLATES} are read"
            )


def values_of(raw: bytes) -> int:
    """Number of values that this JSON has at most: its commas and opening brackets, and one."""
    return 1 + raw.count(b",") + raw.count(b"[") + raw.count(b"{")

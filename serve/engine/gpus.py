"""`python -m serve.engine.gpus`: the GPUs that this process may use, as torch sees them.

Asked in a process of its own. A CUDA context takes some hundred MB of the card for as long as its
process lives, and beside vLLM the server's own process needs none. By torch and not by the driver's
tools, because it alone heeds all of CUDA_VISIBLE_DEVICES (numbers, UUIDs, parts of a card by MIG),
and knows ROCm.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any

TIMEOUT_S = 120.0
"""For the import of torch from a cold disk, and the first context on a machine of many cards."""
_MODULE = "serve.engine.gpus"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One that can be used.

    Attributes:
        capability: compute capability, such as (9, 0).
        free_bytes: that nobody has taken.
        is_integrated: its memory is the host's, of which files' pages count as taken.
    """

    name: str
    capability: tuple[int, int]
    total_bytes: int
    free_bytes: int
    is_integrated: bool


def visible() -> tuple[Gpu, ...]:
    """The GPUs in the order in which engines number them. Takes seconds.

    Empty where there is none, and where torch could not tell, which is logged.
    """
    command = [sys.executable, "-m", _MODULE]
    try:
        answer = subprocess.run(  # noqa: S603 - this file
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True
        )
        return tuple(map(_gpu, json.loads(answer.stdout.splitlines()[-1])))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError, IndexError):
        log.warning("the GPUs could not be asked", exc_info=True)
        return ()


def _gpu(facts: dict[str, Any]) -> Gpu:
    major, minor = facts["capability"]
    return Gpu(**facts | {"capability": (int(major), int(minor))})


def main() -> None:
    """Print them as JSON. For the child."""
    import torch  # noqa: PLC0415 - the parent needs none

    gpus = []
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        free_bytes, total_bytes = torch.cuda.mem_get_info(number)
        gpu = Gpu(
            name=properties.name,
            capability=(properties.major, properties.minor),
            total_bytes=total_bytes,
            free_bytes=free_bytes,
            is_integrated=bool(getattr(properties, "is_integrated", False)),
        )
        gpus.append(asdict(gpu))
    sys.stdout.write(json.dumps(gpus) + "\n")


if __name__ == "__main__":
    main()

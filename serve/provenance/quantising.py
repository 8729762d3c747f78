"""The quantised artifact that ``--quant`` asks for: from the store, or made from the full weights
by a process of its own that ends before the engine starts.

::

    here already ─ yes ─────────────────────────────────────▶ artifact
         └─ no ─ full weights here ─ no ─ fetch ─┐
                      └─ yes ────────────────────┴─ quantise ─▶ artifact

    python -m quantize NAME --scheme S --json      its events become the start-up phase ``quantize``

A budget (``auto:6GB``) is first made a scheme, from the names and shapes of the full weights:
`python -m quantize NAME --scheme auto:BYTES --dry-run --json` tells which.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import folder
from models.errors import ModelError, ModelNotFoundError
from models.progress import size
from models.refs import Artifact, QuantScheme
from models.store import locate, resolve
from models.target import ModelTarget
from quantize.ensure import Found, artifact_name, find
from quantize.plan.choices import BY_QUALITY, Choice
from serve.engine.protocol import Progress
from serve.errors import StartupError
from serve.provenance import child, fetching

log = logging.getLogger(__name__)


PHASES = {"verify": "verify_source", "quantise": "quantize", "measure": "measure"}
"""Start-up phases, by those of `python -m quantize`. Its others are moments."""
_SHORT = (str, int, float)
"""Of a plan the log has the figures, and not the hundreds of layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantRequest:
    """The model to serve, and how its weights are to be stored.

    Attributes:
        target: the model that ``--model`` names.
        choice: as ``--quant`` says; None where a budget chooses.
        data_dir: the store is within it.
        num_bytes: the budget, of weights on the disk.
        among: what it chooses from, the best first.
        num_devices: that share each layer: the artifact must divide by it.
        must_be_signed: what is made here is not, so nothing is made.
        is_measured: what quantising costs is measured, and stands in the manifest.
    """

    target: ModelTarget
    choice: Choice | None
    data_dir: Path
    num_bytes: int = 0
    among: tuple[Choice, ...] = BY_QUALITY
    num_devices: int = 1
    must_be_signed: bool = False
    is_measured: bool = True


async def obtain(
    request: QuantRequest,
    *,
    environment: Mapping[str, str],
    is_offline: bool,
    progress: Progress,
) -> Artifact:
    """The model in the requested scheme, fetched and quantised where it is not here.

    Args:
        environment: of the processes that fetch and quantise.
        is_offline: whether fetching is forbidden; quantising is not.
        progress: called with the phases ``download``, ``verify_source``, ``quantize`` and
            ``measure``, in bytes.

    Raises:
        StartupError: it cannot be fetched or made, or the model is quantised otherwise already.
    """

    async def fetched() -> Artifact:
        return await fetching.obtain(
            request.target,
            request.data_dir,
            environment=environment,
            is_offline=is_offline,
            progress=progress,
        )

    try:
        full = await asyncio.to_thread(_full_weights, request)
        choice = request.choice
        if choice is None:
            full = full or await fetched()
            if full.scheme is not QuantScheme.NONE:
                return _within(full, request.num_bytes)
            choice = await _best(request, environment)
        if full is not None and _is_it(full, choice):
            return full
        stored = await asyncio.to_thread(_find, request, choice, full)
        if stored.artifact is not None:
            log.info("quantised already", extra={"scheme": str(choice), "why": stored.reason})
            return stored.artifact
        if request.must_be_signed and choice.scheme is not QuantScheme.NONE:
            raise StartupError(_unsigned(request, choice, stored.reason))
        if full is None:
            full = await fetched()
            if _is_it(full, choice):
                return full
        log.info("quantising", extra={"scheme": str(choice), "why": stored.reason})
        await _quantise(request, choice, environment, progress, is_replacing=stored.is_stale)
        stored = await asyncio.to_thread(_find, request, choice, full)
    except ModelError as error:
        raise StartupError(str(error)) from None
    if stored.artifact is None:
        raise StartupError(f"quantising to {choice} made nothing to serve: {stored.reason}.")
    return stored.artifact


def present(request: QuantRequest) -> Found:
    """The artifact that a start loads without fetching or making anything; or why there is none.

    Blocks. Its files are not hashed: the start does that.

    Raises:
        StartupError: the model is quantised otherwise already.
        ModelError: what is here is refused or damaged.
    """
    full, choice = _full_weights(request), request.choice
    if choice is None and request.num_bytes:
        return Found(artifact=None, reason=_unchosen(request))
    if full is not None and (choice is None or _is_it(full, choice)):
        return Found(artifact=full, reason=f"{full.name} is there")
    if choice is None or choice.scheme is QuantScheme.NONE:
        return Found(artifact=None, reason=f"{_name(request)} is not in the store")
    return _find(request, choice, full)


def _unchosen(request: QuantRequest) -> str:
    budget = f"auto:{request.num_bytes}"
    return (
        f"--quant {budget} is a size, of which only a start that may make weights makes a scheme. "
        f"Name the scheme: `python -m quantize {request.target.base.text} --scheme {budget} "
        "--dry-run` says which it is"
    )


async def _best(request: QuantRequest, environment: Mapping[str, str]) -> Choice:
    """The first of ``request.among`` that fits into the budget.

    Raises:
        StartupError: nothing is so small.
    """
    choices: list[str] = []

    def on_event(event: Mapping[str, Any]) -> None:
        match event:
            case {"event": "plan", "choice": str(name)}:
                choices.append(name)

    words = ["-m", "quantize", request.target.base.text, "--data-dir", str(request.data_dir)]
    words += ["--scheme", f"auto:{request.num_bytes}", "--among", *map(str, request.among)]
    words += ["--tp", str(request.num_devices), "--dry-run", "--json"]
    await child.run(words, environment=environment, on_event=on_event)
    if not choices:
        raise StartupError("choosing a scheme by its size came to nothing.")
    choice = Choice.parse(choices[-1])
    log.info("chosen by size", extra={"scheme": str(choice), "most_bytes": request.num_bytes})
    return choice


def _within(artifact: Artifact, num_bytes: int) -> Artifact:
    """A folder that is quantised already, of which nothing smaller can be made.

    Raises:
        StartupError: it is too large.
    """
    stored_bytes = folder.size_bytes(artifact.path)
    if stored_bytes > num_bytes:
        raise StartupError(
            f"{artifact.name} is quantised already ({artifact.scheme}) and has "
            f"{size(stored_bytes)}, more than the {size(num_bytes)} of --quant. Allow more, or "
            "name the full model."
        )
    return artifact


def _full_weights(request: QuantRequest) -> Artifact | None:
    """The model as it is here; None where it would have to be fetched.

    Raises:
        ModelError: it can be neither, or is refused.
    """
    target = request.target
    if not fetching.is_here(target, request.data_dir):
        return None
    return resolve(target.base, request.data_dir)


def _is_it(artifact: Artifact, choice: Choice) -> bool:
    """Whether the folder itself is what was requested; False for full weights to make it from.

    Raises:
        StartupError: it is of another scheme, from which no other can be made.
    """
    if artifact.scheme is choice.scheme and not choice.variant:
        return True
    if artifact.scheme is QuantScheme.NONE:
        return False
    wanted = "full weights" if choice.scheme is QuantScheme.NONE else str(choice)
    raise StartupError(
        f"--quant {choice}: {artifact.name} is quantised to {artifact.scheme} already, and "
        f"{wanted} cannot be made from that. Leave --quant out, or name a model with full weights."
    )


def _find(request: QuantRequest, choice: Choice, full: Artifact | None) -> Found:
    if choice.scheme is QuantScheme.NONE:  # nothing is made for that
        return Found(artifact=None, reason="full weights are asked for")
    path = None if full is None else full.path
    return find(_name(request), choice, request.data_dir, full=path)


def _name(request: QuantRequest) -> str:
    """The name of the full model in the store, or the one that it would have."""
    target = request.target
    try:
        return locate(target.base, request.data_dir)[0]
    except ModelNotFoundError:
        if target.name is None:
            raise
        return target.name


def _unsigned(request: QuantRequest, choice: Choice, reason: str) -> str:
    name = artifact_name(_name(request), choice)
    place = f"--data-dir {shlex.quote(str(request.data_dir))}"
    return (
        f"--require-signature: {reason}, and what is made at a start is not signed. Make it and "
        "sign it first:\n"
        f"  python -m quantize {shlex.quote(request.target.text)} --scheme {choice} {place}\n"
        f"  python -m models sign {name} --key KEY.pem {place}"
    )


async def _quantise(
    request: QuantRequest,
    choice: Choice,
    environment: Mapping[str, str],
    progress: Progress,
    *,
    is_replacing: bool,
) -> None:
    """Run the quantising process to its end."""

    def on_event(event: Mapping[str, Any]) -> None:
        match event:
            case {
                "event": "progress",
                "phase": str(phase),
                "done_bytes": done,
                "total_bytes": total,
            }:
                if phase in PHASES:
                    progress(PHASES[phase], done, total)
            case {"event": "notice", "message": message}:
                log.info("quantising", extra={"notice": message})
            case {"event": "plan" | "done" as name, **facts}:
                kept = {key: value for key, value in facts.items() if isinstance(value, _SHORT)}
                log.info("plan" if name == "plan" else "quantised", extra={"facts": kept})

    words = ["-m", "quantize", request.target.base.text, "--scheme", str(choice)]
    words += ["--data-dir", str(request.data_dir), "--json"]
    if not request.is_measured:
        words.append("--no-measure")
    if is_replacing:
        words.append("--replace")
    if request.num_devices > 1:
        words += ["--tp", str(request.num_devices)]
    await child.run(words, environment=environment, on_event=on_event)

"""`python -m serve`: start the server, show how it comes up, and say how to reach it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import sys
from collections.abc import Coroutine, Sequence
from typing import Any, NoReturn

import uvloop
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from models import temporary_folder
from models.cli import output
from models.errors import ManifestError
from models.refs import Artifact, QuantScheme
from quantize.ensure import source_digest
from serve import bootstrap
from serve.assembly import RefusedLoadError
from serve.cli.flags import parse, settings
from serve.cli.loading_bars import AboveBars, LoadingBars
from serve.config import Config
from serve.config_sources import load_config
from serve.engine.vllm.processes import end_descendants
from serve.errors import StartupError
from serve.observe import logs
from serve.pipeline.model_dialects.dialect import ModelDialect
from serve.provenance.quality import Standing

GONE_S = 1.0
"""Patience with killed processes of an engine that was starting."""


LEAST_FILES = 64
"""Descriptors that a start needs, and some connections; systems give 1,024 and more."""


def run_serve(argv: Sequence[str]) -> int:
    """Run the server until a signal ends it; returns the exit code."""
    namespace = parse(argv)
    config = load_config(settings(namespace), file=namespace.config)
    if namespace.print_config:
        print(as_toml(config), end="")
        return 0
    _check_descriptors()
    console = output.console(stderr=True)
    bars = LoadingBars(console)
    logs.configure(config.log_level, AboveBars(bars), config.log_format)
    with bars:

        def on_ready(ready: bootstrap.Ready) -> None:
            bars.close()
            # Not cropped: the command is to be copied, and may be wider than the terminal.
            console.print(banner(ready), crop=False)

        _run(bootstrap.serve(config, on_progress=bars, on_ready=on_ready), bars)
    return 0


def _check_descriptors() -> None:
    """Refuse to start where the first connections would find no descriptor left.

    Raises:
        StartupError: this process may open too few files.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < LEAST_FILES:
        raise StartupError(
            f"this process may open {most} files at a time, and a server needs {LEAST_FILES} and "
            "one for each connection. Raise the limit: `ulimit -n 4096`, LimitNOFILE= of systemd."
        )


def _run(serving: Coroutine[Any, Any, None], bars: LoadingBars) -> None:
    """Run the server to its end; without waiting for threads that load what nobody will serve."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        refused = ""
        try:
            runner.run(serving)
        except bootstrap.LoadInterruptedError as interruption:
            code = 128 + interruption.number
        except RefusedLoadError as refusal:
            code, refused = 2, f"error: {refusal}"
        except SystemExit as end:  # a second signal
            code = end.code if isinstance(end.code, int) else 1
        else:
            return
        bars.close()
        if refused:
            print(refused, file=sys.stderr)
        _leave(code)


def _leave(code: int) -> NoReturn:
    """End without waiting for threads that load: nothing that they write can be taken for whole."""
    end_descendants(GONE_S)
    temporary_folder.remove_all()
    logging.shutdown()
    os._exit(code)


def as_toml(config: Config) -> str:
    """The settings in force, in the form that --config reads. Unset ones are commented out."""
    lines = []
    for name, value in config.model_dump(mode="json").items():
        lines.append(f"# {name} =" if value is None else f"{name} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"


def banner(ready: bootstrap.Ready) -> Group:
    """The served model, its engine and limits, and a command to try it."""
    info = ready.engine.info
    rows: dict[str, str | Text] = {
        "model": f"{', '.join(ready.names)} · {_count(info.num_parameters)} parameters"
        f" · {info.dtype}",
        **({"adapters": ", ".join(info.adapters)} if info.adapters else {}),
        **_quantised(ready.artifact),
        **_quality(ready.standing),
        "digest": str(ready.proof),
        **({"arm": ready.arm} if ready.arm else {}),
        "engine": f"{info.name} on {info.device} ({ready.engine_reason})",
        **_dialect(ready.dialect),
        "capacity": f"{info.max_num_seqs} sequences at once, {info.max_model_len:,} tokens each"
        + (
            f" · beside streams prompts in chunks of {info.prompt_chunk}"
            if info.prompt_chunk
            else ""
        ),
        "memory": f"weights {info.weight_bytes / 1e6:,.0f} MB"
        f" · KV cache {info.kv_cache_tokens:,} tokens",
        **_prefixes(ready),
        "keys": _callers(ready),
        "address": ready.url + (" · in a browser, too" if ready.has_page else ""),
    }
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")
    for label, value in rows.items():
        table.add_row(Text(label, style="dim"), value)
    # Outside the panel, so that it can be copied.
    return Group(Panel(table, title="Intramural is ready", expand=False), _curl(ready))


def _callers(ready: bootstrap.Ready) -> str:
    """The ways in which a caller is known."""
    if not ready.knows_certificates:
        certificate = ", and a client certificate" if ready.needs_certificate else ""
        return f"required{certificate}" if ready.needs_key else "none, so loopback only"
    must = "required" if ready.needs_certificate else "taken"
    return f"{'required, or' if ready.needs_key else 'none, but'} client certificates: {must}"


def _curl(ready: bootstrap.Ready) -> Text:
    """A command to try: a chat, or a completion for a model without a chat template."""
    prompt: dict[str, object] = {"prompt": "Once upon a time"}
    if ready.has_template:
        prompt = {"messages": [{"role": "user", "content": "Hello"}]}
    body = json.dumps({"model": ready.names[0], **prompt})
    route = "chat/completions" if ready.has_template else "completions"
    key = ' -H "Authorization: Bearer $OPENAI_API_KEY"' if ready.needs_key else ""
    if ready.needs_certificate or (ready.knows_certificates and not ready.needs_key):
        key += " --cert CERTIFICATE --key KEY"
    return Text(
        f"curl {ready.url}/v1/{route}{key} \\\n"
        f"  -H 'Content-Type: application/json' \\\n  -d '{body}'",
        no_wrap=True,
        overflow="ignore",
    )


def _prefixes(ready: bootstrap.Ready) -> dict[str, str]:
    """A line on the prefix cache that is kept from one run to the next, where one is."""
    if ready.prefix_cache_dir is None:
        return {}
    key = "encrypted" if ready.has_prefix_key else "readable for who can read that folder"
    num_tokens = ready.engine.info.loaded_prefix_tokens
    return {"prefixes": f"{num_tokens:,} tokens loaded from {ready.prefix_cache_dir} · {key}"}


def _dialect(dialect: ModelDialect) -> dict[str, str]:
    """A line on what the model writes beside content, and where that was found."""
    parts = [
        *(["reasoning"] if dialect.reasoning is not None else []),
        *(["tool calls"] if dialect.calls is not None else []),
    ]
    if not parts:
        return {}
    found = {
        "response_template": "by its response_template",
        "derived": "derived from its chat template",
        "table": f"the known dialect {dialect.name}",
        "none": "",
    }
    return {"dialect": f"{' and '.join(parts)}, {found[dialect.source]}"}


def _chunks(num_tokens: int) -> str:
    return f"{num_tokens} tokens of a new prompt at a time beside running answers"


def _quantised(artifact: Artifact) -> dict[str, str]:
    """The scheme, and the digest of the full weights where the manifest has it."""
    if artifact.scheme is QuantScheme.NONE:
        return {}
    try:
        made_from = source_digest(artifact.path)
    except ManifestError:
        made_from = None
    scheme = {"quantised": f"{artifact.scheme} ({artifact.name})"}
    return scheme | ({"made from": made_from} if made_from else {})


def _quality(standing: Standing) -> dict[str, str | Text]:
    """The quality line; bold red where too much was lost or nothing is known."""
    if standing.line is None:
        return {}
    loud = Text(standing.line, style="bold red" if standing.quality is None else "")
    if standing.complaint is not None:
        loud.append(f"\n{standing.complaint}", style="bold red")
    return {"quality": loud}


def _count(number: int) -> str:
    """A number of parameters for people: ``12.3 B`` or ``5.8 M``."""
    return f"{number / 1e9:,.1f} B" if number >= 1e9 else f"{number / 1e6:,.1f} M"

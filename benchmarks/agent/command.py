"""`python -m benchmarks agent`: agents' conversations on several servers, one after the other."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks import workbench
from benchmarks.agent import report, scripts, servers
from benchmarks.agent.asking import AskError
from benchmarks.agent.playing import Player, Rules
from benchmarks.agent.report import Result
from benchmarks.agent.reuse import Played
from benchmarks.agent.scripts import Script
from benchmarks.agent.servers import Setup, System
from benchmarks.compare.systems import MissingError
from benchmarks.options import add_schemes
from benchmarks.report.output import refusals
from benchmarks.report.steps import Steps
from benchmarks.stopping import StoppedError, stoppable
from benchmarks.trial import serving
from models import store
from models.cli import output
from models.cli.options import Commands, command, whole_number
from models.durable import write_whole
from serve.environment import harden_environment
from serve.pipeline.render import Renderer

NOT_MEASURED = 1
_AGENTS = ("Ada", "Boole")
_WIDTH = 150
_EPILOG = """
    servers:
      intramural        `python -m serve` on the transformers engine, once for each --quant
      intramural-vllm   `python -m serve --engine vllm`
      vllm              vLLM's own server, with its prefix cache
      llama.cpp         llama-cpp-python's own server, with its cache of states in memory

    examples:
      python -m benchmarks agent qwen2.5-coder
      python -m benchmarks agent ./coder --quant int8 --servers intramural llama.cpp --rounds 3 \\
          --llama-cpp-python ~/llama/bin/python --gguf coder-q8_0.gguf
      python -m benchmarks agent ./coder --servers --url other=http://127.0.0.1:8000

    Two agents with prompts of their own take turns on one server. Each keeps what the model
    answered, tool calls too. The servers are started and measured one after the other, round after
    round. The last line of stdout is JSON with every turn.

    exit codes: 0 measured, 1 a server was left out or failed, 2 refused
"""


def add_command(commands: Commands) -> None:
    """Add `agent`."""
    parser = command(
        commands,
        "agent",
        text="agents' long conversations on several servers: what of a prompt is computed again",
        run=_run,
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="a name or a folder, as --model of the server takes it")
    add(
        "--servers",
        nargs="*",
        choices=servers.NAMES,
        default=[servers.OURS],
        metavar="SERVER",
        help="of %(choices)s (default: intramural)",
    )
    add_schemes(parser, ["none"], "how our transformers engine stores weights, of %(choices)s")
    add(
        "--url",
        nargs="+",
        default=[],
        metavar="NAME=URL",
        help="servers that are up; of the same model, for its template counts tokens",
    )
    _add_conversations(parser)
    add("--rounds", type=whole_number, default=1, help="of all servers (default: %(default)s)")
    add("--context", type=whole_number, default=16384, help="tokens (default: %(default)s)")
    add(
        "--llama-cpp-python",
        type=Path,
        metavar="PATH",
        help="an interpreter that has llama-cpp-python[server]",
    )
    add("--gguf", type=Path, metavar="FILE", help="the model for llama.cpp")
    add("--serve", default="", metavar="FLAGS", help="more flags of `python -m serve`, quoted")
    add("--out", type=Path, metavar="DIR", help="also write agent.json there, after every server")


def _add_conversations(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--turns", type=whole_number, default=50, help="of each agent (default: %(default)s)")
    add(
        "--system-tokens",
        type=whole_number,
        default=6000,
        metavar="TOKENS",
        help="about so many in the system prompt, with the tools (default: %(default)s)",
    )
    add(
        "--turn-tokens",
        type=whole_number,
        default=56,
        metavar="TOKENS",
        help="at least so many in a question or a tool's output (default: %(default)s)",
    )
    add(
        "--max-tokens",
        type=whole_number,
        default=64,
        metavar="TOKENS",
        help="of an answer (default: %(default)s)",
    )
    add("--seed", type=int, default=0, help="of the texts (default: %(default)s)")
    add(
        "--tool-choice",
        choices=("auto", "required"),
        default="required",
        help="of a question; after a tool's output it is auto (default: %(default)s)",
    )
    add(
        "--tools-as-text",
        action="store_true",
        help="tools are in the system prompt's text and in no request",
    )
    add(
        "--token-ids",
        action="store_true",
        help="take token ids from the server, which costs it time; else by the model's template",
    )


def _run(options: argparse.Namespace) -> int:
    harden_environment()
    with refusals():
        systems = _systems(options)
        artifact = store.resolve(options.model, options.data_dir)
        renderer = Renderer.load(artifact.path)
        if options.out is not None:
            options.out.mkdir(parents=True, exist_ok=True)
        setup = Setup(
            folder=artifact.path,
            cache_dir=workbench.cache(),
            context=options.context,
            llama_python=options.llama_cpp_python and options.llama_cpp_python.absolute(),
            gguf=options.gguf,
            more=serving.flags(options.serve),
        )
        run = Run(setup, renderer, write_scripts(options, renderer), options, artifact.name)
        code = run.all_rounds(systems)
    _print(run, as_json=options.json)
    return code


def _systems(options: argparse.Namespace) -> list[System]:
    """Raises ValueError: none is named, or an address is none."""
    systems = []
    for name in options.servers:
        if name == servers.OURS:
            systems += [System(name=name, scheme=scheme) for scheme in options.quant]
        elif name == servers.LLAMA:
            systems.append(System(name=name, scheme=options.gguf.stem if options.gguf else "none"))
        else:
            systems.append(System(name=name))
    for word in options.url:
        name, is_there, url = word.partition("=")
        if not is_there or not url.startswith(("http://", "https://")):
            raise ValueError(f"--url {word}: write NAME=http://HOST:PORT")
        systems.append(System(name=name, url=url.removesuffix("/").removesuffix("/v1")))
    if not systems:
        raise ValueError("no server to play on: name some with --servers or --url")
    return systems


def write_scripts(options: argparse.Namespace, renderer: Renderer) -> list[Script]:
    """The agents' scripts, by the options of the command line."""

    def count(text: str) -> int:
        return len(renderer.tokenizer.encode(text, add_special_tokens=False))

    return [
        scripts.write(
            name,
            seed=options.seed,
            count=count,
            num_turns=options.turns,
            system_tokens=options.system_tokens,
            turn_tokens=options.turn_tokens,
            has_tools_as_text=options.tools_as_text,
        )
        for name in _AGENTS
    ]


class Run:
    """A run over all systems and rounds; what it found is in ``results`` and ``notes``."""

    def __init__(
        self,
        setup: Setup,
        renderer: Renderer,
        written: Sequence[Script],
        options: argparse.Namespace,
        model: str,
    ) -> None:
        self.model = model
        self.results: list[Result] = []
        self.notes: list[str] = []
        self._setup = setup
        self._renderer = renderer
        self._scripts = written
        self._options = options
        self._rules = Rules(
            max_tokens=options.max_tokens,
            has_token_ids=options.token_ids,
            has_required_calls=options.tool_choice == "required",
        )

    def all_rounds(self, systems: Sequence[System]) -> int:
        """Play on each system in turn, round after round; returns the exit code.

        Raises:
            OSError: --out cannot be written.
        """
        self.results = [Result(system.label) for system in systems]
        steps = Steps(len(systems) * self._options.rounds)
        try:
            with stoppable():
                for _ in range(self._options.rounds):
                    for system, result in zip(systems, self.results, strict=True):
                        self._one(system, result, steps)
                        self._keep()
        except StoppedError as stopped:
            self.notes.append(f"stopped by {stopped.name}")
            return stopped.code
        except SystemExit:  # by SIGTERM while a server of ours was up
            self.notes.append("stopped by SIGTERM")
            return serving.TERMINATED
        finally:
            steps.end()
        return NOT_MEASURED if self.notes else 0

    def _one(self, system: System, result: Result, steps: Steps) -> None:
        """One system's round. What goes wrong is a note."""
        steps.begin(f"{system.label}: start")
        turns: list[Played] = []
        try:
            with (
                servers.started(
                    system, self._setup, lambda phase: steps.note(f"{system.label}: {phase}")
                ) as up,
                closing(Player(up.url, self._renderer, self._rules, up.told)) as player,
            ):
                player.warm_up()
                for turn in player.play(self._scripts):
                    turns.append(turn)
                    steps.note(f"{system.label}: {turn.conversation}, turn {turn.number}")
        except (MissingError, AskError) as error:
            self.notes.append(f"{system.label}: after {len(turns)} turns: {error}")
        else:
            result.rounds.append(turns)

    def as_json(self) -> str:
        """The report as one line."""
        options = self._options
        names = (
            *("turns", "system_tokens", "turn_tokens", "max_tokens", "seed", "rounds"),
            *("context", "tool_choice", "tools_as_text", "token_ids"),
        )
        settings: dict[str, Any] = {name: getattr(options, name) for name in names}
        return report.as_json(self.model, options.command_line, settings, self.results, self.notes)

    def _keep(self) -> None:
        if self._options.out is not None:
            write_whole(self._options.out / "agent.json", self.as_json().encode() + b"\n")


def _print(run: Run, *, as_json: bool) -> None:
    console = output.console(stderr=as_json)
    if not console.is_terminal:
        console.width = _WIDTH
    if not as_json:
        console.print(report.table(run.model, run.results))
    for note in run.notes:
        console.print(f"note: {note}", style="yellow", highlight=False, soft_wrap=True)
    print(run.as_json())

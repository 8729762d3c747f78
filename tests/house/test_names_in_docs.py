"""Every path, module, command, flag, setting and metric that a text names is there.

Held to it are the pages for readers, the changelog's newest section, and the docstrings and
messages of our packages. tests/house/names_of_others.py lists the exceptions.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import commands, passages
from tests.house.name_rules import Fault, faults
from tests.house.names_of_others import ELSEWHERE, OTHERS
from tests.house.repository_names import Names, declared_flags, of_repository
from tests.house.tree import PROGRAMS, ROOT, files, python_files

PAGES = ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")

NAMES = Names(
    files=frozenset(
        {
            *("serve/engine/protocol.py", "serve/engine/vllm/engine.py", "models/hub/fetch.py"),
            *("serve/engine/fake/engine.py", "docs/adr/0001-one.md", "k8s/overlays/cpu/x.yaml"),
        }
    ),
    words=frozenset({"Engine", "queue_full", "max_num_seqs", "generate"}),
    flags=frozenset({"--max-num-seqs", "--gate"}),
    targets=frozenset({"serve", "bench", "LLAMA"}),
)


def pages() -> list[Path]:
    return [
        *(ROOT / name for name in PAGES),
        *(p for p in files(ROOT / "docs") if p.suffix == ".md"),
    ]


def wrong(text: str, file: str = "docs/page.md") -> list[str]:
    """The names in a page that are names of nothing."""
    return [fault.name for part in passages.of_page(file, text) for fault in faults(part, NAMES)]


def faults_in(paths: list[Path], names: Names) -> Iterator[Fault]:
    for path in paths:
        for passage in passages.read(ROOT, path):
            yield from faults(passage, names)


@pytest.fixture(scope="module")
def all_faults() -> list[Fault]:
    return list(faults_in([*pages(), *python_files(*PROGRAMS)], of_repository()))


def test_every_name_in_a_text_is_there(all_faults: list[Fault]) -> None:
    others = frozenset().union(*OTHERS.values())
    assert [
        str(fault)
        for fault in all_faults
        if fault.name not in others and fault.name not in ELSEWHERE.get(fault.file, {})
    ] == []


def test_no_exception_is_left_over(all_faults: list[Fault]) -> None:
    used = {fault.name for fault in all_faults}
    assert {name for names in OTHERS.values() for name in names} - used == set()
    used_in = {(fault.file, fault.name) for fault in all_faults}
    assert {(file, name) for file, names in ELSEWHERE.items() for name in names} - used_in == set()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("See `serve/engine/protocl.py`.", "serve/engine/protocl.py"),
        ("See serve/engine/fast/ and more.", "serve/engine/fast"),
        ("| `overlays/gpu/x.md` |", "overlays/gpu/x.md"),
        ("Kernels: `vllm/engines.py`", "vllm/engines.py"),
        ("All of serve/engine/*/motor.py", "serve/engine/*/motor.py"),
        ("It is in `engine.py`.", "engine.py"),
        ("`serve.engine.protocl` has it", "serve.engine.protocl"),
        ("`serve.engine.protocol.Motor` is it", "serve.engine.protocol.Motor"),
        ("`python -m serve.server`", "serve.server"),
        ("Run `make serves`.", "serves"),
        ("```sh\nmake bench LAMA=x\n```", "LAMA"),
        ("Set `--max-num-seq`.", "--max-num-seq"),
        ("A larger --max-num-seq helps", "--max-num-seq"),
        ("Set `INTRAMURAL_MAX_NUM_SEQ`.", "INTRAMURAL_MAX_NUM_SEQ"),
        ("```ini\nX=$INTRAMURAL_POTR\n```", "INTRAMURAL_POTR"),
        ("rate(intramural_request_total[5m])", "intramural_request_total"),
        ("The code is `queue_ful`.", "queue_ful"),
        ('```json\n{"error": {"code": "full"}}\n```', "full"),
        ("`Engine.abort_all()` ends it", "abort_all"),
    ],
)
def test_a_name_of_nothing_is_found(text: str, name: str) -> None:
    assert name in wrong(text)


@pytest.mark.parametrize(
    "text",
    [
        "`serve/engine/protocol.py`, `engine/protocol.py`, `protocol.py`, serve/engine/protocol",
        "`vllm/engine.py`, `serve/engine/*/engine.py`, serve/engine/ and `overlays/cpu`",
        "[one](adr/0001-one.md), `<data-dir>/models/NAME`, /etc/serve/x.md, `models/NAME`",
        "`serve.engine.protocol`, `serve.engine.protocol.Engine`, models.lock, tests.",
        "`Engine.generate()`, `queue_full`, `stop`, `max_num_seqs`",
        "`make serve`, `make bench LLAMA=PYTHON`, and make do with it",
        "```sh\nmake bench LLAMA=x/python   # make that\n```",
        "`--max-num-seqs 9`, --gate, `docker run --init`, a -- b, --- c",
        "`INTRAMURAL_*`, `INTRAMURAL_PORT`, intramural_requests_total, $intramural_pool",
        "intramural_time_to_first_token_seconds_bucket",
        '```json\n{"error": {"code": "queue_full"}}\n```',
        "`python -m pytest --any`, `python -m serve --model demo`",
    ],
)
def test_names_that_are_there_pass(text: str) -> None:
    assert wrong(text) == []


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("serve.server", "no module"),
        ("serve doctr", "no command doctr"),
        ("serve --max-num-seq 4", "no flag --max-num-seq"),
        ("serve keys make", "no command make"),
        ("serve keys create|drop", "no command create|drop"),
        ("serve keys create --expires 9", "no flag --expires"),
        ("serve doctor --jsn", "no flag --jsn"),
        ("models pul qwen2.5-7b", "no command pul"),
        ("models verify NAME --key|--trusted", "no flag --trusted"),
        ("quantize MODEL --schema int4", "no flag --schema"),
        ("benchmarks quality a b --gates", "no flag --gates"),
        ("benchmarks.scaling --peaks=2", "no flag --peaks"),
        ("docs.generate --chek", "no flag --chek"),
    ],
)
def test_a_command_that_would_be_refused_is_found(command: str, why: str) -> None:
    assert why in "".join(commands.faults(command))


@pytest.mark.parametrize(
    "command",
    [
        "serve --port 1 --model x --lora a=b",
        "serve keys create --name x",
        "serve chat --url http://h",
        "models COMMAND --json",
        "models bundle|import",
        "models rm qwen2.5-7b",
        "quantize MODEL --scheme int8|int4 [--dry-run]",
        "benchmarks.scaling.measure --slots 8 -- --any-flag of-the-server",
        "docs.capture",
    ],
)
def test_a_command_that_is_right_passes(command: str) -> None:
    assert list(commands.faults(command)) == []


def test_a_command_of_a_shell_block_is_parsed_to_its_values() -> None:
    block = "```sh\n{} -m serve --engine motor \\\n  --port $port  # ports\n```"
    (fault,) = (
        fault
        for part in passages.of_page("a.md", block.format("python"))
        for fault in faults(part, NAMES)
    )
    assert fault.line == 2
    assert "motor" in fault.why
    assert list(commands.faults("benchmarks diff before.json", is_whole=True))
    assert list(commands.faults("benchmarks diff before.json")) == [], "a span may leave words out"


def test_commands_end_where_the_prose_or_a_pipe_goes_on() -> None:
    text = (
        "Run `python -m models list`, or python -m models du | sort.\n  python -m serve   # it\n"
        'x = "python -m serve chat."\npython -m serve chat "What is it?"   # it'
    )
    assert [command for _, command in commands.commands(text)] == [
        "models list",
        "models du",
        "serve",
        "serve chat",
        'serve chat "What is it?"',
    ]


def test_docstrings_and_messages_are_read_with_their_lines() -> None:
    source = (
        '"""Module, see serve/none.py."""\n'
        "X = 1\n"
        '"""It is `queue_ful`."""\n'
        "def f(path):\n"
        '    raise ValueError(f"{path}: lower --max-num-seq, "\n'
        '        "see docs/none.md")\n'
        'ARGUMENTS = ["--of-a-program-of-others", "serve/none.py"]\n'
    )
    lines = [
        (fault.line, fault.name)
        for passage in passages.of_source("serve/x.py", source)
        for fault in faults(passage, NAMES)
    ]
    assert sorted(lines) == [
        (1, "serve/none.py"),
        (3, "queue_ful"),
        (5, "--max-num-seq"),
        (5, "docs/none.md"),
    ]


def test_a_docstring_proves_no_name() -> None:
    source = '"""gone"""\n# gone\nclass A:\n    """\n    gone"""\n    x = "kept"\n'
    assert "gone" not in passages.without_docstrings(source)
    assert "kept" in passages.without_docstrings(source)


def test_of_the_changelog_the_newest_section_counts() -> None:
    text = "# Changelog\n\n## 0.2\n`new`\n\n## 0.1\n`old`\n"
    section = passages.newest_section(text)
    assert "`old`" not in section
    assert section.splitlines()[3] == "`new`", "lines keep their numbers"
    assert passages.newest_section("# Changelog\n\n## 0.1\nx") == "\n\n## 0.1\nx"


def test_flags_are_those_that_are_declared() -> None:
    source = 'parser.add_argument("-a", "--all")\nadd("--gate", help="--no")\nrun(["--theirs"])'
    assert set(declared_flags(f"import argparse\n{source}")) == {"--all", "--gate"}

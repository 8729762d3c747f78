"""House rules on the source of every package, each seen to fail on a planted breach."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.house import source_rules as rules
from tests.house.tree import PROGRAMS, ROOT, name_of, python_files

Rule = Callable[[str], Iterator[str]]

BROAD_EXCEPT_ALLOWED = {
    "serve/governance/followed_file.py": "a defect in reading a file costs no request",
    "serve/governance/filtering/content_filter.py": "a defect of the filter lets nothing pass",
    "serve/governance/filtering/stage.py": "the same of answers",
    "serve/governance/limits/reserving.py": "whatever ends a reservation gives back what it holds",
    "serve/governance/limits/settling.py": "a row that cannot be entered holds up no other",
    "serve/governance/limits/upkeep.py": "what fails once is done again",
    "serve/governance/masking/lanes.py": "what cannot be masked is an error, never sent",
    "serve/governance/masking/screen.py": "what cannot be masked is an error, never answered",
    "serve/observe/logs.py": "a text that cannot be masked is not logged",
    "benchmarks/report/output.py": "a chart that cannot be drawn costs no report",
    "serve/pipeline/run.py": "a defect becomes an in-band error event",
    "serve/governance/identity/authenticators.py": "a defect lets nobody in",
    "serve/governance/identity/database_ring.py": "a defect of one refresh ends none of the next",
    "serve/bootstrap.py": "a defect at start-up becomes a message",
    "serve/api/http/middleware.py": "a defect becomes a 500 without detail",
    "serve/service/requests.py": "a defect is recorded as one, and goes on",
    "serve/engine/transformers/step_loop.py": "the boundary of the engine's thread",
    "serve/engine/transformers/loader/loading.py": "odd weights raise whatever transformers can",
    "quantize/transformers_config.py": "an odd config.json raises whatever Python can",
    "quantize/described_model.py": "an odd config.json raises whatever Python can",
    "serve/pipeline/template.py": "a template raises whatever Python can raise",
    "serve/pipeline/model_dialects/probing.py": "a template raises whatever Python can raise",
    "serve/engine/transformers/sampler.py": "what fails for one row is that request's error",
    "serve/engine/delivery.py": "what fails for one stream is that stream's error",
    "serve/engine/supervisor.py": "what fails while an engine is brought back is an attempt",
    "serve/pipeline/tokenizer.py": "the tokenizers library raises bare Exception",
    "serve/engine/grammars/serialised.py": "llguidance's reader of GBNF raises bare Exception",
    "serve/engine/grammars/deep_stack.py": "what the work raises is whoever waits for it's",
    "serve/engine/grammars/worker.py": "what the work raises is whoever waits for it's",
    "serve/engine/grammars/background.py": "a vocabulary that cannot be read costs no start",
    "serve/engine/grammars/vocabulary.py": "a panic of Rust has no type that can be named",
    "serve/storage/lane.py": "the boundary of the database's thread",
    "serve/storage/transactions.py": "what a work raises is its caller's",
    "serve/governance/audit/log/group_commit.py": "the boundary of the journal's thread",
    "serve/governance/audit/log/publishing_thread.py": "what cannot be published is tried again",
    "serve/governance/audit/records/upkeep.py": "what fails once is done again",
    "serve/governance/alerts/sender.py": "a defect of a channel is a try that failed",
    "serve/engine/transformers/mask_worker.py": "a mask that fails does so again for its row",
}
ASSERT_ALLOWED = {"models/demo/optimizer.py": "narrows a type for mypy; no input is checked"}

_OWN = "a file of this program's own"
_PASSED = "a model's folder that models/policy.py has let pass"
_WRITTEN = "a file that this command has just written"
_KERNEL = "a file of the kernel's"
READERS_ALLOWED = {
    "models/catalog.py": _OWN,
    "models/command_line.py": "a descriptor that is open",
    "models/demo/conversation.py": _OWN,
    "models/demo/evaluate.py": "for who trains the demo model",
    "models/demo/tokenizer.py": _OWN,
    "models/memory/host_memory.py": _KERNEL,
    "models/memory/shapes.py": _OWN,
    "quantize/__main__.py": _PASSED,
    "quantize/calibrate/calibration_result.py": _WRITTEN,
    "quantize/measuring/texts.py": _OWN,
    "quantize/write/run.py": _KERNEL,
    "serve/api/pages/site.py": _OWN,
    "serve/cli/run.py": _WRITTEN,
    "serve/engine/transformers/kernels/code_cache.py": _OWN,
    "serve/evidence/collecting.py": _OWN,
    "serve/evidence/controls.py": _OWN,
    "serve/evidence/software.py": "of installed packages",
    "serve/evidence/verify_evidence.py": "imports nothing of ours",
    "serve/engine/transformers/prefix_store/identity.py": _OWN,
    "serve/storage/counting/valkey_scripts.py": _OWN,
    "serve/commit.py": "git's own, of this checkout",
    "serve/engine/end_tokens.py": _PASSED,
    "serve/engine/model_files.py": _PASSED,
    "serve/engine/vllm/cpu.py": _PASSED,
    "serve/pipeline/template_source.py": _PASSED,
    "serve/pipeline/tokenizer.py": _PASSED,
    "docs/browser.py": _WRITTEN,
    "benchmarks/compare/command.py": _PASSED,
    "benchmarks/compare/llama/write_gguf.py": _PASSED,
    "benchmarks/child.py": _WRITTEN,
    "benchmarks/engine/command.py": _PASSED,
    "benchmarks/machine.py": _KERNEL,
    "benchmarks/quality/engines.py": _PASSED,
    "benchmarks/quality/vllm_forcing.py": _WRITTEN,
    "benchmarks/quality/vllm_worker.py": _WRITTEN,
    "benchmarks/random_model.py": _OWN,
    "benchmarks/roofline.py": _PASSED,
    "benchmarks/serving/hold.py": _KERNEL,
    "docs/cluster_settings.py": _OWN,
    "docs/generate.py": _OWN,
    "docs/monitoring_files.py": _OWN,
    "release/bundle.py": _WRITTEN,
    "release/wheels.py": _OWN,
}
"""Who reads a whole file otherwise: what nobody else names, or what has been looked at."""

PLANTED: list[tuple[Rule, str]] = [
    (rules.lengths, "x = 1\n" * 401),
    (rules.lengths, "def f():\n" + "    x = 1\n" * 60),
    (rules.lengths, "class A:\n    async def f(self):\n" + "        x = 1\n" * 60),
    (rules.unsafe_code, "import pickle"),
    (rules.unsafe_code, "import os, shelve"),
    (rules.unsafe_code, "from dill import loads"),
    (rules.unsafe_code, "def f():\n    import marshal"),
    (rules.unsafe_code, "from torch import load"),
    (rules.unsafe_code, "import torch\ntorch.load('x')"),
    (rules.unsafe_code, "import yaml\nf = yaml.load"),
    (rules.unsafe_code, "eval('1')"),
    (rules.unsafe_code, "exec('1')"),
    (rules.broad_excepts, "try:\n    x\nexcept Exception:\n    y"),
    (rules.broad_excepts, "try:\n    x\nexcept:\n    y"),
    (rules.broad_excepts, "try:\n    x\nexcept (ValueError, BaseException) as e:\n    y"),
    (rules.docstrings, '"""What it holds."""'),
    (rules.docstrings, 'class A:\n    """Of a model."""'),
    (rules.docstrings, 'def f():\n    """How, in short."""'),
    (rules.readers, "Path('x').read_text()"),
    (rules.readers, "json.loads(path.read_bytes())"),
    (rules.readers, "with open('x') as f:\n    pass"),
    (rules.asserts, "def f(x):\n    assert x > 0"),
]
CLEAN = '"""Long, over 400 lines, because it is a table."""\n' + "x = 1\n" * 401
INNOCENT = (
    "plain_file.read_text(path, 9)\nnetwork.read_bytes(folder)\n"
    "import json\nimport torch\nmodel.eval()\njson.load(f)\nyaml.safe_load(f)\n"
    "try:\n    x\nexcept (ValueError, OSError):\n    y\n"
)


def breaches(rule: Rule, allowed: dict[str, str] | None = None) -> list[str]:
    return [
        f"{name_of(path)}:{breach}"
        for path in python_files(*PROGRAMS)
        for breach in rule(path.read_text("utf-8"))
        if name_of(path) not in (allowed or {})
    ]


@pytest.mark.parametrize(("rule", "source"), PLANTED)
def test_a_planted_breach_is_found(rule, source):
    assert list(rule(source))


@pytest.mark.parametrize(
    "rule", [rules.lengths, rules.unsafe_code, rules.broad_excepts, rules.readers, rules.asserts]
)
def test_innocent_source_passes(rule):
    assert not list(rule(INNOCENT))


def test_a_long_file_may_say_why():
    assert not list(rules.lengths(CLEAN))


def test_files_and_functions_are_small():
    assert breaches(rules.lengths) == []


def test_tests_are_small_too():
    assert [
        f"{name_of(path)}:{breach}"
        for path in python_files("tests")
        for breach in rules.lengths(path.read_text("utf-8"))
    ] == []


def test_nothing_unpickles_or_evaluates():
    assert breaches(rules.unsafe_code) == []


def test_defects_are_caught_in_few_places():
    assert breaches(rules.broad_excepts, BROAD_EXCEPT_ALLOWED) == []


def test_docstrings_begin_with_a_noun_or_a_verb():
    assert breaches(rules.docstrings) == []


def test_named_files_are_read_by_one_reader():
    found = breaches(rules.readers)
    reading = {breach.partition(":")[0] for breach in found}
    assert [breach for breach in found if breach.partition(":")[0] not in READERS_ALLOWED] == []
    assert READERS_ALLOWED.keys() - reading == set()


def test_assert_checks_no_input():
    assert breaches(rules.asserts, ASSERT_ALLOWED) == []


@pytest.mark.parametrize("allowed", [BROAD_EXCEPT_ALLOWED, READERS_ALLOWED, ASSERT_ALLOWED])
def test_allowances_name_files_that_exist(allowed):
    assert [name for name in allowed if not (ROOT / name).is_file()] == []

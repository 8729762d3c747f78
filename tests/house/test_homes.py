"""Every third-party library has a home. Stricter than ruff's TID251, which a folder is exempt from
as a whole: here each library is looked for on its own.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.house.tree import PROGRAMS, ROOT, name_of, python_files

MODELS_RUN = ("serve/engine/", "quantize/", "models/demo/", "benchmarks/")
COMMAND_LINES = (
    *("serve/cli/", "models/cli/", "models/progress.py", "models/demo/"),
    "quantize/__main__.py",
    "quantize/calibrate/__main__.py",
    "quantize/measuring/__main__.py",
    "quantize/cli/report_tables.py",
)
HOMES: dict[str, tuple[str, ...]] = {
    "fastapi": ("serve/api/",),
    "starlette": ("serve/api/",),
    "uvicorn": ("serve/api/http/connection.py", "serve/api/http/server.py"),
    "h11": ("serve/api/http/connection.py", "serve/api/http/quick_connection.py"),
    "uvloop": ("serve/cli/serve_command.py", "benchmarks/"),
    "prometheus_client": (
        "serve/observe/audit_figures.py",
        "serve/observe/collectors.py",
        "serve/observe/metrics.py",
        "serve/observe/screen_counts.py",
    ),
    "jinja2": (
        "serve/pipeline/template.py",
        "serve/pipeline/tracing.py",
        "serve/pipeline/template_bounds.py",
        "serve/pipeline/template_code.py",
        "serve/pipeline/template_environment.py",
        "models/rules/templates.py",
        "models/rules/template_sizes.py",
    ),
    "tokenizers": (
        "serve/pipeline/control_tokens.py",
        "serve/pipeline/guard.py",
        "serve/pipeline/tokenizer.py",
        "models/demo/",
    ),
    "llguidance": ("serve/engine/grammars/",),
    "huggingface_hub": (
        "models/hub/fetch.py",
        "models/hub/bounded_client.py",
        "models/hub/hub_errors.py",
    ),
    "httpx2": ("models/hub/fetch.py", "models/hub/bounded_client.py", "models/hub/hub_errors.py"),
    "model_signing": ("models/trust/signing.py",),
    "sigstore": ("models/trust/signing.py",),
    "cryptography": (
        "models/trust/keys.py",
        "models/trust/signing.py",
        "serve/engine/transformers/prefix_store/",
        "serve/governance/audit/content/",
        "serve/governance/audit/tlog/keys.py",
        "serve/api/http/certificate_files.py",
        "serve/governance/identity/client_certificate.py",
        "serve/governance/sealing.py",
    ),
    "sqlalchemy": ("serve/storage/",),
    "alembic": ("serve/storage/",),
    "psycopg": ("serve/storage/",),
    "redis": ("serve/storage/",),
    "jwt": ("serve/governance/identity/jwt_tokens.py",),
    "vllm": (
        "serve/engine/vllm/engine.py",
        "serve/engine/vllm/fork.py",
        "serve/engine/vllm/grammar_backend.py",
        "serve/engine/vllm/grammar_mask.py",
        "serve/engine/vllm/packed_kernel.py",
        "serve/engine/vllm/sampling_params.py",
        "benchmarks/quality/vllm_worker.py",
    ),
    "bitsandbytes": ("quantize/formats/bnb.py",),
    "llmcompressor": ("quantize/calibrate/llm_compressor.py",),
    "loguru": ("quantize/calibrate/llm_compressor.py",),
    "torch": MODELS_RUN,
    "transformers": MODELS_RUN,
    "safetensors": MODELS_RUN,
    "rich": (*COMMAND_LINES, "benchmarks/", "docs/"),
    "httpx": (
        "serve/cli/",
        "serve/doctor/deployment.py",
        "serve/governance/alerts/pinned_http.py",
        "benchmarks/",
        "docs/",
    ),
    "matplotlib": ("benchmarks/report/", "benchmarks/scaling/picture.py"),
    "llama_cpp": ("benchmarks/compare/llama/",),
    "gguf": ("benchmarks/compare/llama/",),
    "PIL": ("benchmarks/quality/plots.py",),
    "pydantic": (
        "serve/config.py",
        "serve/config_sections/",
        "serve/config_sources.py",
        "serve/api/",
        "serve/cli/flags.py",
        "serve/cli/usage/sources.py",
        "serve/governance/typed_tables.py",
        "serve/governance/alerts/pinned_table.py",
        "serve/governance/alerts/alerts_file.py",
        "serve/governance/audit/retention/holds.py",
        "serve/governance/audit/witness/witness_file.py",
        "docs/",
    ),
}


def imported(source: str) -> Iterator[str]:
    """Top-level names of all modules that a source imports, also within functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def away_from_home(name: str, source: str) -> list[str]:
    return sorted(
        {library for library in imported(source) if not name.startswith(HOMES.get(library, ("",)))}
    )


def test_every_library_is_at_home():
    found = {
        name_of(path): away_from_home(name_of(path), path.read_text("utf-8"))
        for path in python_files(*PROGRAMS)
    }
    assert {name: libraries for name, libraries in found.items() if libraries} == {}


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("serve/api/http/middleware.py", "import prometheus_client"),
        ("serve/observe/logs.py", "from prometheus_client.core import Metric"),
        ("serve/pipeline/render.py", "def f():\n    import torch"),
        ("models/store.py", "import json, huggingface_hub"),
    ],
)
def test_a_library_away_from_home_is_found(name, source):
    assert len(away_from_home(name, source)) == 1


def test_homes_are_places_that_exist_or_are_planned():
    planned = {"serve/engine/vllm/engine.py", "quantize/__main__.py"}
    homes = {home for places in HOMES.values() for home in places} - planned
    assert [home for home in sorted(homes) if not (ROOT / home).exists()] == []

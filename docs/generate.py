"""`python -m docs.generate [--check]`: the pages that are made from the code itself.

docs/config.md from serve/config.py, docs/metrics.md from serve/observe/families.py,
docs/errors.md from serve/errors.py and docs/api-fields.md from the types of the routes' bodies.
``--check`` writes nothing and exits with 1 when a page is stale.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import annotated_types
from pydantic.fields import FieldInfo

from docs import api_fields
from serve import errors
from serve.cli.flags import GROUPS, default_text, literal_choices, type_name
from serve.config import Config
from serve.config_sections.capacity import AUTO, OR_AUTO
from serve.errors import RequestError, StartupError
from serve.observe.families import FAMILIES
from serve.setting_names import ENV_PREFIX, env_of, flag_of

FOLDER = Path(__file__).parent
SOURCE = "<!-- Made by `python -m docs.generate` from {}. Change that, not this. -->\n"


def config_page() -> str:
    """Every setting: flag, environment name, type, default, range, meaning."""
    lines = [
        SOURCE.format("serve/config.py"),
        "# Settings\n",
        "Each setting is a flag, an environment variable and a key of the TOML file given with",
        "`--config`. Flags win over the environment, the environment over the file, the file over",
        f"defaults. An unknown flag, key or `{ENV_PREFIX}` variable is an error.",
        "`python -m serve --print-config` prints the settings in force in the file's form.",
    ]
    for name, field in Config.model_fields.items():
        if name in GROUPS:
            lines += [
                f"\n## {GROUPS[name].capitalize()}\n",
                "| flag | environment | type | default | range | meaning |",
                "|---|---|---|---|---|---|",
            ]
        lines.append(_row(*_setting(name, field)))
    return "\n".join(lines) + "\n"


def _setting(name: str, field: FieldInfo) -> tuple[str, ...]:
    choices = literal_choices(field.annotation)
    kind = " \\| ".join(f"`{choice}`" for choice in choices) or type_name(field.annotation)
    if name in OR_AUTO:
        kind += f" or `{AUTO}`"
    elif name in {"served_model_name", "lora", "allowed_origins"}:
        kind += ", repeated (environment: separated by commas)"
    elif name == "engine_arg":
        kind += ", repeated (environment: separated by spaces)"
    default = default_text(name, field).removeprefix("default: ")
    return (
        f"`{flag_of(name)}`",
        f"`{env_of(name)}`",
        kind,
        f"`{default}`" if default else "-",
        _range(field),
        field.description or "",
    )


def _range(field: FieldInfo) -> str:
    """The bounds of a number: `1 to 4096`, `at least 1`, `more than 0`; `-` without any."""
    low = high = ""
    for bound in field.metadata:
        match bound:
            case annotated_types.Ge():
                low = f"at least {bound.ge}"
            case annotated_types.Gt():
                low = f"more than {bound.gt}"
            case annotated_types.Le():
                high = f"at most {bound.le}"
            case annotated_types.Lt():
                high = f"less than {bound.lt}"
    return ", ".join(filter(None, (low, high))) or "-"


def metrics_page() -> str:
    """Every metric: name, type, labels, meaning; buckets of histograms."""
    lines = [
        SOURCE.format("serve/observe/families.py"),
        "# Metrics\n",
        "`GET /metrics` answers in Prometheus' text format 0.0.4. Counters and histograms of",
        "requests are updated when a request is over; gauges are read from the engine at each",
        "scrape and are absent while the model loads. Alerts and a dashboard made of them:",
        "[monitoring](monitoring.md). No label holds text of a client. The",
        "process, the Python runtime and its garbage collector are there too, under Prometheus'",
        "own names (`process_*`, `python_*`). Words and formulas: [glossary](glossary.md).\n",
        "| metric | type | labels | meaning |",
        "|---|---|---|---|",
    ]
    for family in FAMILIES:
        labels = ", ".join(f"`{label}`" for label in family.labels) or "-"
        lines.append(_row(f"`{family.name}`", family.kind, labels, family.meaning))
    lines += [
        "\n## Buckets\n",
        "Upper bounds, in seconds.\n",
        "| histogram | bounds |",
        "|---|---|",
    ]
    for family in FAMILIES:
        if family.buckets:
            bounds = ", ".join(f"{bound:g}" for bound in family.buckets)
            lines.append(_row(f"`{family.name}`", bounds))
    return "\n".join(lines) + "\n"


def errors_page() -> str:
    """Every error that a client can get: status, type, code, meaning."""
    lines = [
        SOURCE.format("serve/errors.py"),
        "# Errors\n",
        "An error is answered in OpenAI's envelope:\n",
        "```json",
        '{"error": {"message": "...", "type": "...", "param": null, "code": "..."}}',
        "```\n",
        "`message` says what is wrong, the limit, the actual value and what to do; `param` is the",
        "field at fault as it was sent, where there is one. Every 503 carries `Retry-After`. An",
        "error after the answer began has no status of its own: it is an event of the stream,",
        "with the same codes.\n",
        "| status | code | type | meaning | class |",
        "|---|---|---|---|---|",
    ]
    lines += [
        _row(
            str(error.status),
            f"`{error.code}`",
            f"`{error.type}`",
            _meaning(error),
            f"`{error.__name__}`",
        )
        for error in sorted(request_errors(), key=lambda error: error.status)
    ]
    startup_line = f"`{StartupError.__name__}` never reaches a client: {_meaning(StartupError)}"
    return "\n".join([*lines, "", startup_line]) + "\n"


def fields_page() -> str:
    """Every field of every route: honoured, ignored or refused."""
    return "\n".join([SOURCE.format("serve/api/openai"), *api_fields.lines()]) + "\n"


def request_errors() -> Iterator[type[RequestError]]:
    """The classes that a client can meet, in the order of the file. Their root is abstract."""
    for _, value in inspect.getmembers(errors, inspect.isclass):
        if issubclass(value, RequestError) and value is not RequestError:
            yield value


def _meaning(error: type[Exception]) -> str:
    return (error.__doc__ or "").strip().splitlines()[0].replace("``", "`")


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


PAGES: dict[str, Callable[[], str]] = {
    "config.md": config_page,
    "metrics.md": metrics_page,
    "errors.md": errors_page,
    "api-fields.md": fields_page,
}


def stale(folder: Path = FOLDER) -> list[str]:
    """Names of the pages in the folder that differ from what the code says, or are missing."""
    return [
        name
        for name, page in PAGES.items()
        if not (folder / name).is_file() or (folder / name).read_text("utf-8") != page()
    ]


def main(argv: Sequence[str]) -> int:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(prog="python -m docs.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when stale")
    stale_files = stale()
    if parser.parse_args(argv).check:
        for name in stale_files:
            print(f"docs/{name} is stale: run `python -m docs.generate`", file=sys.stderr)
        return 1 if stale_files else 0
    for name in stale_files:
        (FOLDER / name).write_text(PAGES[name](), "utf-8")
        print(f"wrote docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

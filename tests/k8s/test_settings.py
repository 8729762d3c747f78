"""What the manifests say to our commands is what these commands take."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import models.__main__
import quantize.__main__
from docs import cluster_settings
from models import catalog
from serve.api.http.listening import check_exposure
from serve.cli import wait
from serve.cli.audit import command as audit
from serve.cli.flags import parse
from serve.cli.flags import settings as given
from serve.config import Config
from serve.config_sources import load_config
from serve.errors import StartupError
from serve.setting_names import env_of
from tests.k8s.manifests import (
    RENDERED,
    Manifest,
    expanded,
    filled,
    needs_kubectl,
    pods,
    render,
    settings,
)
from tests.k8s.order_of_events import IDLE, commands_of

PARSERS = {"models": models.__main__._parser, "quantize": quantize.__main__._parser}


def commands(manifests: list[Manifest]) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Each `python -m MODULE ...` of each container, with its environment."""
    for pod in pods(manifests):
        for container in pod.containers:
            values = settings(manifests, container)
            for words in commands_of(container)[0]:
                command = [filled(expanded(word, values), values) for word in words]
                if words != IDLE:
                    yield ["python", "-m", *command], values


def faults(command: list[str], values: dict[str, str]) -> Iterator[str]:
    """Why the command would not run as it is written."""
    interpreter, flag, module, *arguments = command
    if (interpreter, flag) != ("python", "-m"):
        yield f"{command} is not one of ours"
    ours = {name: value for name, value in values.items() if name.startswith("INTRAMURAL_")}
    try:
        is_server = module == "serve" and arguments[:1] not in (["wait"], ["audit"])
        config = load_config(given(parse(arguments)) if is_server else {}, env=ours)
        if arguments[:1] == ["wait"]:
            wait._parser().parse_args(arguments[1:])
        elif arguments[:1] == ["audit"]:
            audit.parser().parse_args(arguments[1:])
        elif module != "serve":
            PARSERS[module]().parse_args(arguments)
    except StartupError as error:
        yield str(error)
    except SystemExit:
        yield f"{shlex.join(command)} is refused"
    else:
        if catalog.load().find(config.model) is None:
            yield f"{config.model} is no alias"
        if any("$" in word for word in command):
            yield f"{shlex.join(command)}: a reference was not resolved"


@needs_kubectl
@pytest.mark.parametrize("name", RENDERED)
def test_every_command_and_setting_is_taken(name):
    found = list(commands(render(name)))
    modules = {command[2] for command, _ in found}
    assert {"serve", "models", "quantize"} <= modules
    assert [fault for command, values in found for fault in faults(command, values)] == []


@pytest.mark.parametrize(
    ("command", "values"),
    [
        (["python", "-m", "serve", "--modell", "x"], {}),
        (["python", "-m", "serve"], {"INTRAMURAL_MODLE": "demo"}),
        (["python", "-m", "serve"], {"INTRAMURAL_MAX_NUM_SEQS": "0"}),
        (["python", "-m", "serve"], {"INTRAMURAL_PORT": "80 80"}),
        (["python", "-m", "serve"], {"INTRAMURAL_MODEL": "llama9-1b"}),
        (["python", "-m", "serve", "wait", "godot"], {}),
        (["python", "-m", "serve", "audit", "prune", "--keep", "x"], {}),
        (["python", "-m", "serve", "wait", "model", "--advise", "x"], {}),
        (["python", "-m", "models", "verify", "$INTRAMURAL_MODLE"], {}),
        (["python", "-m", "models", "fetch", "demo"], {}),
        (["python", "-m", "models", "pull", "$(MODEL)"], {}),
        (["python", "-m", "quantize", "demo", "--scheme", "int7"], {}),
        (["bash", "-c", "serve"], {}),
    ],
)
def test_others_are_refused(command, values, capsys):
    try:
        found = list(faults(command, values))
    except KeyError:
        found = ["no such module"]
    assert found


@needs_kubectl
@pytest.mark.parametrize("name", RENDERED)
def test_servers_never_fetch_and_never_listen_without_keys(name):
    for command, values in commands(render(name)):
        if command[2:] == ["serve"]:
            ours = {key: value for key, value in values.items() if key.startswith("INTRAMURAL_")}
            config = load_config({}, env=ours)
            assert config.offline
            assert config.api_key_file is not None
            check_exposure(config)


def test_the_settings_are_fresh_and_name_all_there_are():
    assert not cluster_settings.is_stale(cluster_settings.FILE)
    lines = cluster_settings.FILE.read_text("utf-8")
    for name in Config.model_fields:
        assert re.search(rf"^(# )?{env_of(name)}=", lines, re.MULTILINE)


def test_stale_settings_are_found_and_written(tmp_path, capsys):
    file: Path = tmp_path / "settings.env"
    assert cluster_settings.main(["--check"], file) == 1
    assert "stale" in capsys.readouterr().err
    assert not file.exists()
    assert cluster_settings.main([], file) == 0
    assert cluster_settings.main(["--check"], file) == 0
    file.write_text(file.read_text().replace("QUANT=int8", "QUANT=int4"))
    assert cluster_settings.main(["--check"], file) == 1


def test_settings_that_the_server_refuses_are_not_written(monkeypatch):
    monkeypatch.setitem(cluster_settings.CLUSTER, "quant", "int7")
    with pytest.raises(StartupError, match="--quant"):
        cluster_settings.text()

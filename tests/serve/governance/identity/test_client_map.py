"""The file that says which certificate is whose."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest

from models import plain_file
from serve.errors import StartupError
from serve.governance.identity.client_map import ClientMap, read_map
from serve.governance.principal import Principal

WHOLE = """
[[client]]
name = "gateway"
dns = "Gateway.corp.example"
tenant = "ward-3"
owner = "gateway"
scopes = ["infer", "batch"]
models = ["demo"]

[[client]]
name = "prometheus"
subject = "CN=prometheus,O=Hospital"
tenant = "operations"
scopes = ["metrics"]
"""
ENTRY = '[[client]]\nname = "a"\ndns = "a.example"\ntenant = "t"\nscopes = ["infer"]\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "clients.toml"
    path.write_text(text, "utf-8")
    path.chmod(0o644)
    return path


def test_entries_become_principals(tmp_path: Path) -> None:
    assert read_map(written(tmp_path, WHOLE)) == {
        ("dns", "gateway.corp.example"): Principal(
            key_id="cert:gateway",
            name="gateway",
            tenant="ward-3",
            owner="gateway",
            scopes=frozenset({"infer", "batch"}),
            models=frozenset({"demo"}),
        ),
        ("subject", "CN=prometheus,O=Hospital"): Principal(
            key_id="cert:prometheus",
            name="prometheus",
            tenant="operations",
            scopes=frozenset({"metrics"}),
        ),
    }
    assert read_map(written(tmp_path, "")) == {}, "nobody, which a map may say"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[client]", "is no TOML"),
        ("x = 1", r"something else than \[\[client\]\]"),
        ("client = 1", r"something else than \[\[client\]\]"),
        ("client = [1]", "number 1: it is no table"),
        (ENTRY.replace('tenant = "t"\n', ""), "number 1: it lacks tenant"),
        (ENTRY.replace('scopes = ["infer"]\n', ""), "number 1: it lacks scopes"),
        (ENTRY + 'tennant = "t"\n', "it has tennant, which nothing here reads"),
        (ENTRY + 'uri = "x"\n', "exactly one of subject, dns, uri, email, and has 2"),
        (ENTRY.replace('dns = "a.example"\n', ""), "exactly one of .* has 0"),
        (ENTRY.replace('"a.example"', '""'), "dns is empty"),
        (ENTRY.replace('"a.example"', "7"), "dns is no text"),
        (ENTRY.replace('dns = "a.example"', 'subject = "nobody"'), "number 1"),
        (ENTRY.replace('"t"', '""'), "tenant and owner"),
        (ENTRY.replace('"a"', '"a b"'), "name 'a b'"),
        (ENTRY.replace('"infer"', '"infer", "root"'), r"scopes \['root'\]: there are admin"),
        (ENTRY.replace('["infer"]', '"infer"'), "scopes is a list"),
        (ENTRY + ENTRY.replace("a.example", "b.example"), "number 2: the name 'a' is taken"),
        (ENTRY + ENTRY.replace('"a"', '"b"'), "number 2: dns 'a.example' is in an entry before"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(StartupError, match=words):
        read_map(written(tmp_path, text))


def test_nobody_else_may_write_it(tmp_path: Path) -> None:
    path = written(tmp_path, WHOLE)
    path.chmod(0o664)
    with pytest.raises(StartupError, match=r"mode 0664.*chmod go-w"):
        read_map(path)
    with pytest.raises(StartupError, match="is not there"):
        read_map(tmp_path / "none.toml")


def test_a_change_holds_at_once_and_a_slip_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path, WHOLE)
    clients = ClientMap(path)
    assert len(clients.principals()) == 2
    written(tmp_path, ENTRY)
    assert list(clients.principals()) == [("dns", "a.example")]
    written(tmp_path, ENTRY[:-3])
    assert list(clients.principals()) == [("dns", "a.example")]
    assert not clients.is_in_force
    path.unlink()
    assert list(clients.principals()) == [("dns", "a.example")]
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 2, "once for each state of the file"
    written(tmp_path, "")
    assert clients.principals() == {}
    assert clients.is_in_force


def test_a_map_that_could_not_be_read_for_a_moment_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without descriptors a file is there and cannot be opened; later it is as it was."""
    path = written(tmp_path, WHOLE)
    now = [0.0]
    clients = ClientMap(path, clock=lambda: now[0])

    def fails(*_: object, **__: object) -> str:
        raise OSError(errno.EMFILE, "Too many open files")

    path.write_text("")
    with monkeypatch.context() as patch:
        patch.setattr(plain_file, "read_text", fails)
        for now[0] in (0.0, 5.0, 11.0):
            assert clients.principals()
    assert (clients.is_in_force, caplog.text.count("not reloaded")) == (False, 1)
    now[0] = 22.0
    assert clients.principals() == {}
    assert clients.is_in_force


def test_a_model_that_is_not_served_is_no_entry(tmp_path: Path) -> None:
    path = written(tmp_path, ENTRY + 'models = ["demo", "other"]\n')
    served = frozenset({"demo"})
    with pytest.raises(StartupError, match=r"lets a ask the model 'other'.*Served: demo"):
        ClientMap(path, models=served)
    written(tmp_path, ENTRY + 'models = ["demo"]\n')
    assert len(ClientMap(path, models=served).principals()) == 1

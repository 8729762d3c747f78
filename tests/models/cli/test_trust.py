from __future__ import annotations

import json
import subprocess
import sys

import pytest

from models.__main__ import main
from models.lockfile import LockFile, Pin
from models.trust import verified_cache
from models.trust.manifest import MANIFEST, SIGNATURE, Manifest
from tests.models.folders import whole


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setattr(verified_cache, "SETTLED_NS", -(10**12))
    folder = whole(tmp_path / "models" / "our-tune")
    Manifest.build(folder).write(folder)
    return tmp_path


@pytest.fixture
def folder(data):
    return data / "models" / "our-tune"


@pytest.fixture
def pair(data):
    assert main(["keygen", str(data / "k.pem"), "--data-dir", str(data)]) == 0
    return data / "k.pem", data / "k.pub"


def run(data, *words) -> int:
    return main([*map(str, words), "--data-dir", str(data)])


def report(data, capsys, *words) -> dict:
    capsys.readouterr()
    code = run(data, *words, "--json")
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is (code == 0)
    return document


def test_verify_a_name_or_a_folder(data, folder, capsys):
    assert run(data, "verify", "our-tune") == 0
    out = capsys.readouterr().out
    assert "our-tune is whole: 3 files" in out
    assert Manifest.read(folder).digest in out
    assert run(data, "verify", folder) == 0


def test_verify_as_json(data, folder, capsys):
    found = report(data, capsys, "verify", "our-tune")
    assert found["digest"] == Manifest.read(folder).digest
    assert found["num_hashed"] == found["num_files"] == 3
    assert found["hashed_bytes"] == found["size_bytes"]
    assert found["signer"] is None
    assert found["differences"] == []
    assert report(data, capsys, "verify", "our-tune", "--mode", "quick")["num_hashed"] == 0


def test_verify_names_what_differs(data, folder, capsys):
    (folder / "tokenizer.json").write_text("[]")
    assert run(data, "verify", "our-tune") == 1
    assert "not in order" in (err := capsys.readouterr().err)
    assert "'tokenizer.json' was changed" in err
    (folder / "config.json").rename(folder / "config2.json")
    found = report(data, capsys, "verify", "our-tune")
    assert {(d["kind"], d["path"], d["new_path"]) for d in found["differences"]} == {
        ("changed", "tokenizer.json", None),
        ("renamed", "config.json", "config2.json"),
    }
    assert "tokenizer.json" in found["problem"]


def test_verify_refuses_what_the_policy_does(data, folder, capsys):
    (folder / "x.py").touch()
    (folder / MANIFEST).unlink()
    Manifest.build(folder).write(folder)
    assert run(data, "verify", "our-tune") == 1
    assert "x.py (code)" in capsys.readouterr().err


def test_verify_holds_a_model_to_its_pin(data, folder, capsys):
    LockFile(data).put("our-tune", Pin(digest=Manifest.read(folder).digest))
    assert run(data, "verify", "our-tune") == 0
    (folder / "tokenizer.json").write_text("[]")
    Manifest.build(folder).write(folder)
    assert run(data, "verify", "our-tune") == 1
    assert "another than was pinned" in capsys.readouterr().err


def test_what_is_not_here_or_has_no_manifest_is_2(data, folder, capsys):
    assert run(data, "verify", "no-such") == 2
    (folder / MANIFEST).unlink()
    assert run(data, "verify", "our-tune") == 2
    assert "python -m models sign" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        run(data, "verify", "our-tune", "--mode", "off")
    assert caught.value.code == 2


def test_sign_and_verify(data, folder, pair, capsys):
    private, public = pair
    assert run(data, "verify", "our-tune", "--key", public) == 1
    assert "is not signed" in capsys.readouterr().err
    assert run(data, "sign", "our-tune", "--key", private) == 0
    assert "key id" in capsys.readouterr().out
    assert run(data, "verify", "our-tune", "--key", public) == 0
    assert "signed by k.pub" in capsys.readouterr().out
    trust = data / "trust"
    trust.mkdir()
    assert run(data, "verify", "our-tune", "--trust", trust) == 1
    public.rename(trust / "k.pub")
    found = report(data, capsys, "verify", "our-tune", "--trust", trust)
    assert found["signer"]["file"] == str(trust / "k.pub")


def test_sign_makes_the_manifest_that_is_missing(data, folder, pair, capsys):
    (folder / MANIFEST).unlink()
    capsys.readouterr()
    assert run(data, "sign", "our-tune", "--key", pair[0], "--json") == 0
    signed = json.loads(capsys.readouterr().out)
    assert signed["digest"] == Manifest.read(folder).digest
    assert signed["path"] == str(folder / SIGNATURE)
    assert run(data, "verify", "our-tune", "--key", pair[1]) == 0


def test_a_model_that_is_not_in_order_is_not_signed(data, folder, pair, capsys):
    (folder / "tokenizer.json").write_text("{ }")
    assert run(data, "sign", "our-tune", "--key", pair[0]) == 1
    assert "'tokenizer.json' was changed" in capsys.readouterr().err
    (folder / "x.py").touch()
    assert run(data, "sign", "our-tune", "--key", pair[0]) == 1
    assert "x.py (code)" in capsys.readouterr().err
    assert not (folder / SIGNATURE).exists()


def test_a_key_that_cannot_be_used_is_2(data, pair, capsys):
    assert run(data, "sign", "our-tune", "--key", pair[1]) == 2
    assert run(data, "sign", "our-tune", "--key", data / "gone") == 2
    assert run(data, "keygen", pair[0]) == 2
    assert "never overwritten" in capsys.readouterr().err


def test_a_key_with_a_password(data, folder, capsys):
    (data / "password").write_text("secret\n")
    words = ("--password-file", data / "password")
    assert run(data, "keygen", data / "p", *words, "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert run(data, "sign", "our-tune", "--key", data / "p") == 2
    assert run(data, "sign", "our-tune", "--key", data / "p", *words) == 0
    assert made["key_id"] in capsys.readouterr().out
    assert run(data, "sign", "our-tune", "--key", data / "p", "--password-file", data) == 2


def test_the_built_in_model_is_verified(data, capsys):
    assert run(data, "verify", "demo") == 0


def test_commands_that_sign_nothing_do_without_the_library():
    program = (
        "import sys; from models.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print({'model_signing', 'sigstore', 'torch'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "set()"


def test_a_pinned_model_without_its_manifest_is_not_in_order(data, folder, capsys):
    LockFile(data).put("our-tune", Pin(digest=Manifest.read(folder).digest))
    (folder / MANIFEST).unlink()
    assert "is gone" in report(data, capsys, "verify", "our-tune")["problem"]
    assert run(data, "verify", folder) == 1


def test_signing_gives_a_pinned_model_its_manifest_back_and_no_other(data, folder, pair, capsys):
    LockFile(data).put("our-tune", Pin(digest=Manifest.read(folder).digest))
    (folder / MANIFEST).unlink()
    assert run(data, "sign", "our-tune", "--key", pair[0]) == 0
    for name in (MANIFEST, SIGNATURE):
        (folder / name).unlink()
    (folder / "tokenizer.json").write_text("{ }")
    assert run(data, "sign", "our-tune", "--key", pair[0]) == 1
    assert "another than was pinned" in capsys.readouterr().err
    assert not (folder / MANIFEST).exists()


def test_a_signed_model_without_its_manifest_is_not_signed_as_asked(data, folder, pair):
    assert run(data, "sign", "our-tune", "--key", pair[0]) == 0
    (folder / MANIFEST).unlink()
    assert run(data, "verify", "our-tune", "--key", pair[1]) == 1
    assert run(data, "verify", "our-tune") == 2


def test_a_folder_whose_name_no_store_could_have_is_verified(data, tmp_path):
    odd = whole(tmp_path / "our model")
    Manifest.build(odd).write(odd)
    assert run(data, "verify", odd) == 0


def test_a_key_that_cannot_be_used_is_found_before_the_long_work(data, folder, pair, capsys):
    capsys.readouterr()
    for words in (["--key", pair[1]], ["--key", pair[0], "--password-file", "/dev/zero"]):
        assert run(data, "sign", "our-tune", *words) == 2
        told = capsys.readouterr().err
        assert told.startswith("error: ")
        assert len(told.splitlines()) == 1, "no file was hashed before"
    assert not (folder / SIGNATURE).exists()

"""Hostile trees: files that are none, names that mean something else, folders without end."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from random import Random

from models.trust.manifest import MANIFEST, SIGNATURE
from tests.models.folders import safetensors
from tests.models.hostile.shape import Shape

PLAIN = ("config.json", "tokenizer.json", "model.safetensors", "tokenizer_config.json")
ODD_NAMES = [
    *(
        "a\nb.json",
        "a\rb.json",
        "\x1b[2J\x1b[31mx.json",
        "\u202egnp.json",
        "a\u200b.json",
        "a\\b.json",
    ),
    *("~x.json", "C:x.json", " .json\u2028", "e\u0301.json", "CONFIG.json", "Config.JSON"),
    *("[red]x[bold].json\n", "%s%n.json\t", "x" * 250 + ".json\a"),
]


def special(folder: Path, random: Random) -> None:
    """A pipe, a socket or a link in the place of a file, or beside the others."""
    path = folder / random.choice([*PLAIN, MANIFEST, SIGNATURE, "vocab.txt", "x.jinja"])
    path.unlink(missing_ok=True)
    match random.randrange(4):
        case 0:
            os.mkfifo(path)
        case 1:
            with socket.socket(socket.AF_UNIX) as unix:
                here = os.open(folder, os.O_RDONLY)
                try:
                    unix.bind(f"/proc/self/fd/{here}/{path.name}")
                finally:
                    os.close(here)
        case 2:
            path.symlink_to(random.choice(["/dev/zero", "/dev/stdin", "/etc/passwd", path.name]))
        case _:
            path.mkdir()
            (path / "x.py").write_text("")


def name(folder: Path, random: Random) -> None:
    (folder / random.choice(ODD_NAMES)).write_text("{}")


def name_in_no_encoding(folder: Path, random: Random) -> None:
    raw = random.choice([b"\xff.json", b"a\xed\xa0\x80.json", b"\xc3\x28.txt"])
    (Path(os.fsdecode(os.fsencode(folder) + b"/" + raw))).write_text("{}")


def many_files(folder: Path, random: Random) -> None:
    for number in range(random.choice([1001, 3000, 100_000])):
        (folder / f"{number}.txt").touch()


def many_folders(folder: Path, random: Random) -> None:
    for number in range(random.choice([300, 21_000])):
        (folder / f"d{number}").mkdir()
    (folder / "d0" / "x.exe").touch()


def deep(folder: Path, random: Random) -> None:
    here = os.open(folder, os.O_RDONLY)
    for _ in range(random.choice([5, 40, 1500])):
        os.mkdir("d", dir_fd=here)
        there = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = there
    os.close(os.open("x.py", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def code(folder: Path, random: Random) -> None:
    path = folder / random.choice(
        ["a.py", "b.bin", "c.so", "d.gguf", ".hidden", "e", "f.exe", "g.yaml"]
    )
    path.write_bytes(b"x")


def disguised(folder: Path, random: Random) -> None:
    path = folder / random.choice(["x.txt", "x.json", "x.model", "README.md", "LICENSE"])
    path.write_bytes(
        random.choice([b"PK\x03\x04", b"\x80\x04", b"\x7fELF", b"#!/bin/sh\n", b"GGUF"])
    )


def incomplete(folder: Path, random: Random) -> None:
    (folder / random.choice(PLAIN[:3])).unlink()


def bookkeeping(folder: Path, random: Random) -> None:
    """What a file system or a desktop leaves there; the model is none the worse for it."""
    name = random.choice(
        ["lost+found", ".Trash-1000", "System Volume Information", ".snapshot", "@eaDir"]
    )
    (folder / name).mkdir()
    (folder / name / "x.py").write_text("")
    (folder / random.choice([".DS_Store", "Thumbs.db", ".nfs0000000012ab34cd"])).write_bytes(b"\0")


def almost_bookkeeping(folder: Path, random: Random) -> None:
    """The same names, of another kind: passed over, they could hide what is loaded."""
    match random.randrange(3):
        case 0:
            (folder / ".DS_Store").mkdir()
            (folder / ".DS_Store" / "x.safetensors").write_bytes(safetensors())
        case 1:
            (folder / "lost+found").symlink_to("/")
        case _:
            (folder / "lost+found").write_text("import os")


def manifest(folder: Path, random: Random) -> None:
    """A manifest that is none: verified or not, it ends the command."""
    row = '{"path": "config.json", "size": %s, "sha256": "%s"}'
    bad = row % (random.choice(["1e400", "9" * 4000, "-1", "null", "1" + "0" * 300]), "0" * 64)
    content = random.choice(
        [
            b"",
            b"{}",
            b"null",
            b"[" * 10**5,
            b'{"a":' * 900 + b"1" + b"}" * 900,
            bad.encode(),
            bytes(99),
        ]
    )
    (folder / MANIFEST).write_bytes(content)


SHAPES = [
    Shape("no plain file", special, weight=6),
    Shape("a name", name, weight=4),
    Shape("a name in no encoding", name_in_no_encoding),
    Shape("many files", many_files, is_heavy=True),
    Shape("many folders", many_folders, is_heavy=True),
    Shape("a deep tree", deep, weight=2),
    Shape("code", code, weight=3),
    Shape("something in disguise", disguised, weight=3),
    Shape("a file that is missing", incomplete),
    Shape("bookkeeping", bookkeeping, weight=2, is_refused=False),
    Shape("almost bookkeeping", almost_bookkeeping, weight=2),
    Shape("a manifest that is none", manifest, weight=3, is_refused=False),
]

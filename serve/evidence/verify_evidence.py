"""Check a folder of evidence: python3 verify_evidence.py FOLDER --key PUBLIC_KEY [--log DIR NAME]

It needs Python 3.9 or later and its standard library, and nothing of whoever made the folder. Take
it and the public key from elsewhere than the folder: what comes with a folder proves nothing of it.

It checks that evidence.note is signed by that key over evidence.json, that the index lists exactly
the files that are there, each with its size and SHA-256, and that the checkpoint of each audit log
is signed by the key that the folder shows for it. With --log it recomputes that log's root from
the entries in DIR (C2SP tlog-tiles), and compares it with the checkpoint.

Formats: C2SP signed-note, tlog-checkpoint, tlog-tiles; RFC 8032 (Ed25519), RFC 6962 (Merkle tree).
Exit codes: 0 all holds; 1 something does not, and each fault is a line; 2 it could not be checked.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

Point = tuple[int, int, int, int]
Key = tuple[str, bytes, bytes]
FORMAT = "intramural evidence 1"
BY_ITSELF = {"evidence.json", "evidence.note"}
MAX_NOTE = 1 << 20

# Ed25519 of RFC 8032, section 5.1: verification alone, so nothing secret is computed here.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


def point(raw: bytes) -> Point | None:
    """The point that 32 bytes stand for, in extended coordinates; None where there is none."""
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


def add(p: Point, q: Point) -> Point:
    """The sum of two points."""
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(number: int, p: Point) -> Point:
    """A point, added to itself so many times."""
    total: Point = (0, 1, 1, 0)
    while number:
        if number & 1:
            total = add(total, p)
        p = add(p, p)
        number >>= 1
    return total


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether this is the signature of a message by a public key of 32 bytes."""
    if len(public) != 32 or len(signature) != 64:
        return False
    key, r = point(public), point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if key is None or r is None or BASE is None or s >= ORDER:
        return False
    challenge = hashlib.sha512(signature[:32] + public + message).digest()
    left = times(s, BASE)
    right = add(r, times(int.from_bytes(challenge, "little") % ORDER, key))
    return all((left[at] * right[2] - right[at] * left[2]) % P == 0 for at in (0, 1))


class Bad(Exception):
    """Something does not hold."""


def parse_key(text: str) -> Key:
    """The name, key id and public key of a line NAME+ID+BASE64 (signed-note, verifier keys)."""
    try:
        name, key_id, encoded = text.strip().split("+", 2)
        raw = base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise Bad("a public key is a line NAME+ID+BASE64") from error
    if raw[:1] != b"\x01" or len(raw) != 33:
        raise Bad(f"the key {name} is not an Ed25519 key for notes")
    expected = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
    if expected.hex() != key_id:
        raise Bad(f"the key {name} has the id {key_id}, and its bytes are of {expected.hex()}")
    return name, expected, raw[1:]


def open_note(note: str, key: Key) -> str:
    """The text of a note, signed by this key. Raises Bad where it is not."""
    name, key_id, public = key
    text, mark, lines = note.rpartition("\n\n")
    if not mark:
        raise Bad("this is no signed note")
    text += "\n"
    for line in lines.split("\n"):
        words = line.split(" ")
        if len(words) != 3 or words[:2] != ["\u2014", name]:
            continue
        raw = base64.b64decode(words[2])
        if raw[:4] == key_id:
            if is_signed(public, text.encode(), raw[4:]):
                return text
            raise Bad(f"the signature by {name}+{key_id.hex()} does not hold")
    raise Bad(f"it has no signature by {name}+{key_id.hex()}")


def open_by_any(note: str, keys: list[Key]) -> tuple[Key, str]:
    """The first of these keys that signed a note, and its text. Raises Bad where none did."""
    fault = Bad("no keys are shown for it")
    for key in keys:  # after a change of keys there are several of one name
        try:
            return key, open_note(note, key)
        except Bad as error:
            fault = error
    raise fault


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root of a Merkle tree over leaf hashes (RFC 6962, section 2.1)."""
    levels: list[tuple[int, bytes]] = []  # complete subtrees: number of leaves, hash
    for leaf in leaves:
        size, node = 1, leaf
        while levels and levels[-1][0] == size:
            node = hashlib.sha256(b"\x01" + levels.pop()[1] + node).digest()
            size *= 2
        levels.append((size, node))
    node = levels.pop()[1] if levels else hashlib.sha256(b"").digest()
    while levels:
        node = hashlib.sha256(b"\x01" + levels.pop()[1] + node).digest()
    return node


def tile_path(number: int) -> str:
    """The path of a tile's number: x001/x234/067."""
    path = f"{number % 1000:03d}"
    while number >= 1000:
        number //= 1000
        path = f"x{number % 1000:03d}/{path}"
    return path


def leaf_hashes(log: Path, size: int, first: int) -> Iterator[bytes]:
    """The leaf hashes of a log's entries, from bundles; of those before ``first`` from tiles."""
    for start in range(0, size, 256):
        width = min(256, size - start)
        if start + 256 <= first:
            data = (log / "tile" / "0" / tile_path(start // 256)).read_bytes()
            yield from (data[at : at + 32] for at in range(0, 8192, 32))
            continue
        path = log / "tile" / "entries" / tile_path(start // 256)
        found = path if path.is_file() else partial(path, width)
        data = found.read_bytes()
        for index in range(start, start + width):
            length = int.from_bytes(data[:2], "big")
            if len(data) < 2 + length or len(data) < 2:
                raise Bad(f"entry {index} is cut off in {found}")
            yield hashlib.sha256(b"\x00" + data[2 : 2 + length]).digest()
            data = data[2 + length :]


def partial(path: Path, width: int) -> Path:
    """The narrowest partial bundle that holds so many entries."""
    folder = path.with_name(path.name + ".p")
    widths = (int(file.name) for file in folder.glob("*") if file.name.isdigit())
    if held := min((each for each in widths if each >= width), default=0):
        return folder / str(held)
    raise Bad(f"{path} is missing, and the log does not say that it was pruned")


def read(folder: Path, name: str, most: int = 0) -> bytes:
    """A plain file of the folder. Raises Bad where it is none, is behind a link or too large."""
    path = folder / name
    size = path.stat().st_size
    if not path.is_file() or path.resolve() != folder.resolve() / name or 0 < most < size:
        raise Bad(f"{name} is a link, no plain file, or of more bytes than are read: {size:,}")
    return path.read_bytes()


def say(text: str) -> None:
    """Print a line; names and summaries are not ours, and cannot move the cursor or end it."""
    print("".join(c if c.isprintable() else ascii(c)[1:-1] for c in text))


def check_index(folder: Path, key: Key) -> Any:
    """The index, once its signature holds and its files are those that are there."""
    raw = read(folder, "evidence.json")
    text = open_note(read(folder, "evidence.note", MAX_NOTE).decode(), key)
    digest = base64.b64encode(hashlib.sha256(raw).digest()).decode()
    if text != f"{FORMAT}\n{digest}\n":
        raise Bad("evidence.json is not the index that was signed")
    return json.loads(raw)


def check_files(folder: Path, index: Any) -> Iterator[str]:
    """Faults of the files."""
    listed = {row["path"]: row for row in index["files"]}
    there = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
    for name in sorted(there - set(listed) - BY_ITSELF):
        yield f"{name}: it is here, and the index does not list it"
    for name, row in sorted(listed.items()):
        if name not in there:
            yield f"{name}: the index lists it, and it is not here"
            continue
        try:
            data = read(folder, name)
            if len(data) != row["bytes"] or hashlib.sha256(data).hexdigest() != row["sha256"]:
                yield f"{name}: its bytes are not those that were signed"
        except (Bad, OSError) as error:
            yield f"{name}: {error}"


def check_logs(folder: Path, wanted: dict[str, Path], told: Callable[[str], None]) -> Iterator[str]:
    """Faults of the audit logs' checkpoints."""
    for checkpoint in sorted(folder.glob("audit/*/checkpoint")):
        name = checkpoint.parent.name
        try:
            keys = read(folder, f"audit/{name}/public-key", MAX_NOTE).decode().splitlines()
            note = read(folder, f"audit/{name}/checkpoint", MAX_NOTE).decode()
            key, text = open_by_any(note, [parse_key(k) for k in keys])
            lines = text.split("\n")
            size, root = int(lines[1]), base64.b64decode(lines[2])
            told(f"log {name}: a signed checkpoint of {size:,} entries, key {key[0]}")
            if name in wanted:
                log = wanted.pop(name)
                pruned = log / "minimum-index"
                first = int(pruned.read_text().split()[0]) if pruned.is_file() else 0
                if root_of(leaf_hashes(log, size, first)) != root:
                    raise Bad(f"the entries do not come to the checkpoint's root of {size:,}")
                by_hash = f" ({first:,} pruned ones by their hashes)" if first else ""
                told(f"log {name}: its {size:,} entries come to the checkpoint's root{by_hash}")
        except (Bad, OSError, ValueError, IndexError) as error:
            yield f"audit/{name}: {error}"
    for name in wanted:
        yield f"audit/{name}: the folder has no checkpoint of a log of this name"


def main(argv: Sequence[str] | None = None) -> int:
    """Check, and say what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--key", required=True, help="of the signature, or a file that has it")
    parser.add_argument(
        "--log", nargs=2, action="append", default=[], metavar=("DIR", "NAME"), help="of a log"
    )
    arguments = parser.parse_args(argv)
    try:
        file, text = Path(arguments.key), arguments.key
        key = parse_key(text if "+" in text and not file.is_file() else file.read_text("utf-8"))
        index = check_index(arguments.folder, key)
    except Bad as error:
        say(f"FAULT: {error}")
        return 1
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    say(f"signed by {key[0]}, made {index['made_at']}, commit {index['commit']}")
    faults = list(check_files(arguments.folder, index))
    faults += check_logs(arguments.folder, {n: Path(d) for d, n in arguments.log}, say)
    for part in index["parts"]:
        say(f"{part['state']:7} {part['name']}: {part['summary']}")
    for fault in faults:
        say(f"FAULT: {fault}")
    print(f"{len(index['files'])} files: {'all hold' if not faults else 'NOT all hold'}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

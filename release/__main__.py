"""`python -m release`: see EPILOG. `make bundle` runs it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from models import command_line, progress
from models.cli.bundle import plan
from models.cli.options import default_data_dir
from models.errors import ModelError
from models.progress import Progress, Silent, size
from models.store import DEMO
from models.trust import keys
from release import lock, wheels
from release.bundle import Release, Released
from release.errors import ReleaseError
from release.wheels import ROOT

EPILOG = """\
Gathers, on a machine that can reach packages, all that another one needs that cannot: the wheels of
the lock as your pip is configured to find them, each held to its hash; our own sources as a wheel;
the model as a bundle; a bill of materials; and install.sh. SHA256SUMS is written last and, with
--sign, signed. Both machines need the same platform and Python 3.11. Run again, it goes on.

examples:
  make bundle OUT=/media/usb
  make bundle OUT=/media/usb MODEL=qwen2.5-7b SIGN=signer.pem
  python -m release --out /media/usb --model qwen2.5-7b --sign signer.pem

over there:
  openssl dgst -sha256 -verify signer.pub -signature SHA256SUMS.sig SHA256SUMS
  grep ' install.sh$' SHA256SUMS | sha256sum --check
  sh install.sh --trust signer.pub --into ./intramural

exit codes: 0 the bundle is whole; 2 it is not: the message says why
"""


def main(argv: Sequence[str]) -> int:
    """Make the bundle and return the exit code."""
    options = _parser().parse_args(argv)
    try:
        _plan(options, Progress(Silent()))  # mistakes are found before the long work
        lock.read(options.lock)
        wheels.fetch(options.lock, options.out / "wheels")
        with progress.shown() as meter:
            released = _plan(options, meter).run()
    except (ModelError, ReleaseError) as error:
        command_line.complain(str(error))
        return command_line.REFUSED
    except KeyboardInterrupt:
        print("interrupted; run it again to go on with what is there", file=sys.stderr)
        return 130
    _print_result(released, as_json=options.json)
    return 0


def _plan(options: argparse.Namespace, meter: Progress) -> Release:
    model = plan(
        options.model,
        options.out / "model",
        meter,
        data_dir=options.data_dir,
        private_key=options.sign,
        password_file=options.password_file,
    )
    if model.private_key is not None:
        keys.private_key_id(model.private_key, model.password)
    return Release(folder=options.out, lock=options.lock, model=model, progress=meter)


def _print_result(released: Released, *, as_json: bool) -> None:
    if as_json:
        facts = {
            "path": str(released.folder),
            "num_wheels": released.num_wheels,
            "size_bytes": released.num_bytes,
            "model": released.model.model,
            "digest": released.model.digest,
            "key_id": released.key_id,
        }
        print(json.dumps(facts))
        return
    print(
        f"{released.folder}: {size(released.num_bytes)}, {released.num_wheels} wheels and the "
        f"model {released.model.model}"
    )
    print(f"signed by the key {released.key_id}" if released.key_id else "not signed (--sign KEY)")
    print("over there: sh install.sh --help")


def _parser() -> argparse.ArgumentParser:
    parser = command_line.Parser(
        prog="python -m release",
        description="All that a machine without a network needs to serve, in one folder.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="where it goes")
    parser.add_argument(
        "--model", default=DEMO, metavar="NAME|PATH", help="which model (default: demo)"
    )
    parser.add_argument("--sign", type=Path, metavar="KEY", help="private key, PEM")
    parser.add_argument(
        "--password-file", type=Path, metavar="FILE", help="holds the private key's password"
    )
    parser.add_argument(
        "--lock",
        type=Path,
        metavar="FILE",
        default=ROOT / "requirements" / "cpu.lock",
        help="which packages (default: requirements/cpu.lock)",
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        default=default_data_dir(),
        help="where weights live",
    )
    parser.add_argument("--json", action="store_true", help="print JSON on stdout")
    return parser


if __name__ == "__main__":
    sys.exit(command_line.run(main))

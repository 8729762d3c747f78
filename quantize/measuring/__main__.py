"""`python -m quantize.measuring FULL QUANTISED`: measure a model that is there already."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from models import command_line, progress, store
from models.cli import output
from models.errors import ManifestMissingError, ModelError
from models.refs import Artifact
from models.trust.manifest import QUANTISED_FROM, SIGNATURE, Manifest
from quantize.cli import report_tables
from quantize.cli.options import add_data_dir, add_texts, parser_of, texts_of
from quantize.errors import OptionError
from quantize.measuring.measure import Measurement
from quantize.measuring.quality_step import better_of, check_memory
from quantize.measuring.stored import layers_of

EPILOG = """\
For a model that was quantised with --no-measure, or by another tool. Both folders are read, neither
is loaded; what was lost goes into the manifest of the second.

examples:
  python -m quantize.measuring qwen2.5-7b qwen2.5-7b--int4
  python -m quantize.measuring ./full ./gptq --text letters.txt

exit codes: 0 measured; 2 not: the message says why
"""


def main(argv: Sequence[str]) -> int:
    """Run it and return the exit code."""
    options = _parser().parse_args(argv)
    try:
        _run(options)
    except (ModelError, OSError) as error:
        command_line.complain(command_line.words_of(error))
        return command_line.REFUSED
    except KeyboardInterrupt:
        return 130
    return 0


def _run(options: argparse.Namespace) -> None:
    full = store.resolve(options.full, options.data_dir)
    quantised = store.resolve(options.quantised, options.data_dir)
    manifest = _manifest(full, quantised)
    layers, quantizer = layers_of(full.path, quantised.path)
    scheme = quantizer.scheme
    check_memory()
    with progress.shown(as_json=False) as meter:
        quality = Measurement(
            full=full.path,
            quantised=quantised.path,
            layers=layers,
            quantizer=quantizer,
            texts=texts_of(options.text),
        ).run(meter, better_of(full.path, scheme))
    report_tables.print_quality(quality, scheme, output.console())
    if manifest is not None:
        replace(manifest, quality=quality).write(quantised.path)


def _manifest(full: Artifact, quantised: Artifact) -> Manifest | None:
    """The quantised model's, if what is found out may go into it.

    Raises:
        OptionError: it was made from another model.
    """
    try:
        manifest = Manifest.read(quantised.path)
    except ManifestMissingError:
        print(f"{quantised.name} has no manifest: nothing is kept", file=sys.stderr)
        return None
    base = Manifest.find(full.path)
    source = manifest.tools.get(QUANTISED_FROM)
    if base is not None and source not in (None, base.digest):
        raise OptionError(
            f"{quantised.name} was made from {source}, and {full.name} is {base.digest}. Name the "
            "model that it was made from."
        )
    if (quantised.path / SIGNATURE).exists():
        print(
            f"{quantised.name} is signed, so its manifest stays: nothing is kept", file=sys.stderr
        )
        return None
    return manifest


def _parser() -> argparse.ArgumentParser:
    parser = parser_of(
        "python -m quantize.measuring",
        "What a quantisation cost a model that is there already.",
        EPILOG,
    )
    add = parser.add_argument
    add("full", metavar="FULL", help="the model that it was made from: a name or a folder")
    add("quantised", metavar="QUANTISED", help="the model to measure: a name or a folder")
    add_texts(parser, "--text")
    add_data_dir(parser)
    return parser


if __name__ == "__main__":
    sys.exit(command_line.run(main))

"""`python -m quantize.calibrate MODEL`: the command line, in an environment with llmcompressor."""

from __future__ import annotations

import argparse
import errno
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from models import command_line, disk_space, progress, store
from models.cli import output
from models.errors import ModelError
from models.memory import host_memory
from models.progress import JsonLines, Progress, size
from models.refs import Artifact, QuantScheme
from models.staging import staged
from models.trust.manifest import QUANTISED_FROM
from quantize import ensure, suitable
from quantize.calibrate import calibration_result, llm_compressor, texts
from quantize.cli import report_tables
from quantize.cli.options import add_shared, parser_of, positive, target_of
from quantize.errors import OptionError, QuantizeError, UnsuitableModelError
from quantize.plan import planning
from quantize.plan.choices import Choice
from quantize.plan.scheme_plan import GROUP_SIZES, QuantOptions, SchemePlan
from quantize.plan.tables import Width
from quantize.protocol import CALIBRATED, Method
from quantize.write import result
from quantize.write.source import SourceTensor

SCHEMES = (QuantScheme.INT4, QuantScheme.INT8_WEIGHT_ONLY, QuantScheme.INT8_W8A8)
EPILOG = """\
methods:
  gptq  what rounding a column did to the layer's answer is made up for by the columns after it
  awq   columns that the text makes much of are scaled up before they are rounded; int4 only

examples:
  python -m quantize.calibrate qwen2.5-7b --scheme int4 --text letters.jsonl   as qwen2.5-7b--int4
  python -m quantize.calibrate demo --scheme int4 --method awq --out ./demo-awq
  python -m quantize.calibrate qwen2.5-7b --scheme int4 --dry-run              reads no weights

The whole model is held in memory, and a run that was stopped begins anew. In the store the result
has the name that `--quant` looks for, so the server takes it where it would have made one itself.
What it is worth: python -m benchmarks quality MODEL MODEL--int4 (docs/quality.md).

exit codes: 0 the model is there; 2 it is not: the message says why; 130 interrupted
"""


def main(argv: Sequence[str]) -> int:
    """Run it and return the exit code."""
    options = _parser().parse_args(argv)
    view = JsonLines(sys.stdout)
    try:
        _run(options, view)
    except ModelError as error:
        report_tables.print_error(error, view, as_json=options.json)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was made", file=sys.stderr)
        return 130
    return 0


def _run(options: argparse.Namespace, view: JsonLines) -> None:
    full = store.resolve(options.model, options.data_dir)
    plan = plan_of(full, options)
    target = target_of(options, full, Choice(scheme=QuantScheme(options.scheme)))
    if options.json:
        view.event("plan", **report_tables.plan_facts(plan, []))
    else:
        report_tables.print_plan(plan, [], output.console(stderr=not options.dry_run))
    if options.dry_run:
        return
    if not llm_compressor.is_here():
        raise QuantizeError(llm_compressor.MISSING)
    _check_memory(plan)
    with progress.shown(as_json=options.json) as meter:
        digest, is_new = _make(full, plan, target, options, meter)
    if options.json:
        outcome = "made" if is_new else "present"
        view.event("done", outcome=outcome, name=target.name, path=str(target), digest=digest)
        return
    print(f"{'made' if is_new else 'here already:'} {target.name}\n  {target}\n  {digest}")


def plan_of(full: Artifact, options: argparse.Namespace) -> SchemePlan:
    """The plan; reads no weight.

    Raises:
        QuantizeError: it cannot be done.
    """
    quant = QuantOptions(
        scheme=QuantScheme(options.scheme),
        tensor_parallel=options.tp,
        ignore=options.ignore,
        is_symmetric=True,
        sensitive=None,
        head=Width.FULL,
        embeddings=Width.FULL,
    )
    method = Method(options.method)
    if method is Method.AWQ and quant.scheme is not QuantScheme.INT4:
        raise OptionError(f"awq is for int4, not for {quant.scheme}: take --method gptq.")
    plan = _largest(*suitable.model_of(full.path), quant)
    # Beside the model: the sums over the inputs of one decoder layer's matrices, in float32.
    layer = plan.layers[0].name.rpartition(".layers.")[2].partition(".")[0]
    linears = [linear for linear in plan.layers if f".layers.{layer}." in linear.name]
    sums = sum(4 * linear.num_in**2 for linear in linears)
    peak = planning.PROCESS_BYTES + plan.source_bytes + plan.output_bytes + 2 * sums
    return replace(plan, method=method, peak_memory_bytes=peak)


def _largest(
    tensors: Sequence[SourceTensor], config: Mapping[str, Any], quant: QuantOptions
) -> SchemePlan:
    """The plan with the group that most weights can have; of equals the largest."""
    plans = []
    for group in GROUP_SIZES:
        try:
            plans.append(planning.plan(tensors, config, replace(quant, group_size=group))[0])
        except UnsuitableModelError:
            if not plans and group == GROUP_SIZES[-1]:
                raise
    return max(plans, key=lambda plan: plan.num_weights)


def _make(
    full: Artifact, plan: SchemePlan, target: Path, options: argparse.Namespace, meter: Progress
) -> tuple[str, bool]:
    """The digest of the result, and whether it was made now."""
    reader = llm_compressor.Reader(full.path)
    text = texts.text_of(options.text, full, reader.render)
    samples = texts.windows(reader.tokens(text.parts), options.length, options.samples)
    meter.notice(f"calibrating on {len(samples)} x {options.length} tokens of {text.name}")
    if len(samples) < options.samples:
        meter.notice(f"the text has no more; {options.samples} samples were asked for")
    manifest = result.verified(full.path, options.data_dir, meter)
    text_mark = f"{len(samples)} x {options.length} {text.sha256[:12]}"
    tools: Mapping[str, str] = {
        QUANTISED_FROM: manifest.digest,
        ensure.RECIPE: f"{result.recipe(plan)} {text_mark}",
        "calibrated-on": f"sha256:{text.sha256}",
        **llm_compressor.versions(),
    }
    present = None if options.replace else result.present(target, tools, meter)
    if present is not None:
        return present.digest, False
    try:
        with staged(target.parent, target.name) as staging:
            for folder in (staging.tree, staging.parts):  # nothing of it can be gone on with
                shutil.rmtree(folder)
                folder.mkdir()
            written = staging.parts / "written"
            meter.phase("calibrate", sum(2 * linear.num_weights for linear in plan.layers))
            llm_compressor.calibrate(
                full.path, written, plan=plan, samples=samples, on_layer=meter.advance
            )
            meter.phase("check")
            written_manifest = calibration_result.take(
                written, staging, plan=plan, full=full.path, manifest=manifest, tools=tools
            )
            meter.phase("commit")
            staging.commit()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_space.disk_full(
                target.parent, result.MAKE_ROOM, needed=plan.output_bytes
            ) from None
        raise QuantizeError(f"{error.filename or target}: {error.strerror or error}") from None
    return written_manifest.digest, True


def _check_memory(plan: SchemePlan) -> None:
    free = host_memory.available_bytes()
    if free is not None and free < plan.peak_memory_bytes:
        raise QuantizeError(
            f"calibrating holds the whole model: about {size(plan.peak_memory_bytes)} of memory "
            f"are needed, {size(free)} are free. Take a larger machine, or `python -m quantize`."
        )


def _parser() -> argparse.ArgumentParser:
    parser = parser_of(
        "python -m quantize.calibrate",
        "A full model in, a smaller one out, rounded by what a text makes of it.",
        EPILOG,
    )
    add = parser.add_argument
    add("--scheme", required=True, choices=SCHEMES, help="what the weights become")
    add("--method", choices=sorted(CALIBRATED), default=Method.GPTQ, help="(default: gptq)")
    add("--text", type=Path, metavar="FILE", help="calibrate on it: .txt, or .jsonl of messages")
    add("--samples", type=positive, default=128, metavar="N", help="(default: %(default)s)")
    add("--length", type=positive, default=512, metavar="N", help="tokens (default: %(default)s)")
    add_shared(parser)
    return parser


if __name__ == "__main__":
    sys.exit(command_line.run(main))
